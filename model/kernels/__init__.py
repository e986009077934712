"""Loops over a whole film that numpy and OpenCV have no fast equal for, compiled for the machine's processor.

Lowest room of ``model``: knows arrays, no films. numba, which compiles them, costs half a second and 100 MB to load;
gateway and worker import these functions and never pay for it, only processes that open films do, at their first film
or by ``load_kernels``.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_VALUES_OF_A_WORD: Final = 65536
# Increments of one counter wait for each other; neighbouring pixels, often equal, therefore count in turns.
_COUNTERS: Final = 4


class GrayScale(NamedTuple):
    """From a pixel's value to gray, in float32, everything relative to ``base``: whole, so that values stay exact.

    Values from ``first_padding`` to ``last_padding`` count as ``black``, others are clipped to ``low .. high``. The
    mean of these becomes gray by one affine: ``(mean - black) * gray_per_level``.
    """

    base: np.float32
    low: np.float32
    high: np.float32
    first_padding: np.float32
    last_padding: np.float32
    black: np.float32
    gray_per_level: np.float32


def load_kernels() -> None:
    """Compile every loop now, or read it from numba's cache, and run it once; afterwards none needs a file.

    For processes that may not open files later.
    """
    scale = GrayScale(*np.array([0, 0, 1, 1, 0, 0, 1], dtype=np.float32))
    for dtype in (np.uint8, np.uint16, np.int16):
        for padding in (1, 0):
            pixels = np.zeros((2, 2), dtype=dtype)
            pixels.setflags(write=False)
            area_means(pixels, (2, 2), (1, 1), scale._replace(first_padding=np.float32(padding)))
        count_values(pixels)
        look_up(pixels, np.zeros(_VALUES_OF_A_WORD, dtype=np.uint16))


def area_means(
    pixels: NDArray[Any], extent: tuple[int, int], shape: tuple[int, int], scale: GrayScale
) -> NDArray[np.float32]:
    """Return ``(rows, columns)`` float32 of gray: each the mean of the pixels' area that it covers.

    One pass over the pixels, the same result on every processor: no sum depends on how wide its registers are.

    Parameters
    ----------
    pixels
        ``(height, width)`` uint8, uint16 or int16; copied only if neither contiguous nor aligned.
    extent
        How many of its rows and columns are divided up.
    shape
        Rows and columns of the result, at most those of ``extent``.
    """
    for taken, asked, there in zip(extent, shape, pixels.shape, strict=True):
        assert 1 <= asked <= taken <= there, "the loop checks no bounds"
    means = np.empty(shape, dtype=np.float32)
    _loops().add_areas(np.require(pixels, requirements=["C", "A"]), *extent, scale, means)
    return means


def count_values(pixels: NDArray[Any]) -> NDArray[np.int64]:
    """Return how often each value occurs, in the order of bits: ``(256,)`` of uint8, else ``(65536,)``; 2^32 in all."""
    counters = np.zeros((_COUNTERS, 2 ** (8 * pixels.dtype.itemsize)), dtype=np.uint32)
    _loops().count(_words(pixels), counters)
    return np.asarray(counters.sum(axis=0, dtype=np.uint32), dtype=np.int64)


def look_up(pixels: NDArray[Any], table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return each pixel's entry, uint16 in the shape of ``pixels``; the table is in the order of the values' bits.

    ``table`` has an entry for every value of the pixels' dtype.
    """
    assert len(table) >= 2 ** (8 * pixels.dtype.itemsize), "the loop checks no bounds"
    found = np.empty(pixels.shape, dtype=np.uint16)
    _loops().look_up(_words(pixels), table, found.reshape(-1))
    return found


def _words(pixels: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the pixels as ``(n,)`` uint16; bytes, which are rare where it matters, are widened."""
    words = pixels.astype(np.uint16) if pixels.dtype.itemsize == 1 else pixels.view(np.uint16)
    return np.require(words, requirements=["C", "A"]).reshape(-1)


def _loops() -> ModuleType:
    from model.kernels import loops

    return loops
