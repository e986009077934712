"""The second door: what the decoded pixels refuse. Knows gray images and the size a header states; no networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.decoding.header import Header
from model.errors import CorruptImage, Reason, UnsuitableImage
from model.image import LEAST_CONTRAST, GrayImage, Pixels
from model.kernels import count_values
from model.shrinking import WHITE, shrink

_LOOK_AT_SIDE: Final = 512
_FINEST: Final = 65535
# More than a header's 2.5: a film shuttered to one lung is for the embedding to judge, a strip is no chest at all.
_LARGEST_SHOWN_RATIO: Final = 4.0
# A frontal chest film in 8 x 8 fields without the outermost ring, which collimation and letters own: lungs dark beside
# spine and heart, the belly bright below. Mean of the 1,380 films of NIH ChestX-ray14 in shared/data/nih, each scaled
# to mean 0 and deviation 1.
_CHEST_FIELDS: Final = np.array(
    [
        [-0.1, -0.4, -0.1, 0.0, -0.5, -0.1],
        [0.1, -0.7, -0.2, 0.0, -0.8, 0.0],
        [0.1, -0.7, 0.1, 0.3, -0.6, 0.0],
        [0.0, -0.3, 0.5, 0.8, -0.1, 0.0],
        [0.2, 0.3, 0.9, 1.1, 0.5, 0.1],
        [0.5, 1.0, 1.3, 1.3, 1.0, 0.4],
    ]
)
_FIELDS: Final = 8
# Correlation with those fields below which black and white are taken to be exchanged. Measured, see
# docs/decisions/0008-gate.md: 94 to 98 % of inverted films lie below, 2 of 1,380 NIH films (one of them really is
# inverted, one lies upside down).
_INVERTED_BELOW: Final = -0.4


def gate_image(image: GrayImage, header: Header) -> None:
    """Return if the pixels allow judging.

    Raises
    ------
    CorruptImage
        If image and header are not of the same film.
    UnsuitableImage
        Reason ``blank``: the film is constant or almost so (an unexposed plate, a lost detector). ``aspect``: what
        lies within its black borders is longer than four times its width, or the reverse. ``inverted``: it looks like
        the negative of a chest film, so its black and white are exchanged, whatever its header says.
    """
    rows, columns = image.pixels.shape
    _require_size_of(header, rows, columns, image.reduction)
    # Percentiles of a sample: a film has no structure finer than this that would make it less blank.
    steps = max(1, rows // _LOOK_AT_SIDE), max(1, columns // _LOOK_AT_SIDE)
    sampled: NDArray[Any] = np.ascontiguousarray(image.pixels[:: steps[0], :: steps[1]])
    sample = replace(image, pixels=sampled)
    levels, counts = _levels_of(sample)
    shown = replace(sample, pixels=levels[np.newaxis]).shown()[0]
    if _contrast(shown, counts) < LEAST_CONTRAST:
        raise UnsuitableImage(Reason.BLANK, "the film shows next to no contrast")
    lit = replace(sample, pixels=sample.pixels[_within_borders(_is_lit(sample, levels[shown > LEAST_CONTRAST]))])
    ratio = (lit.pixels.shape[0] * steps[0] * image.pixel_aspect) / (lit.pixels.shape[1] * steps[1])
    if not 1 / _LARGEST_SHOWN_RATIO <= ratio <= _LARGEST_SHOWN_RATIO:
        raise UnsuitableImage(Reason.ASPECT, "within its borders longer than four times its width, or the reverse")
    if _is_negative(_coarse(lit)):
        raise UnsuitableImage(Reason.INVERTED, "black and white are exchanged")


def _require_size_of(header: Header, rows: int, columns: int, reduction: int) -> None:
    """Raise where the pixels are another film's. EXIF may have turned them, a decoder may have shrunk them."""
    stated = [None if side is None else -(-side // reduction) for side in (header.rows, header.columns)]
    if [rows, columns] not in (stated, stated[::-1]):
        raise CorruptImage(Reason.DECODE_ERROR, "the pixels do not belong to this header")


def _levels_of(sample: GrayImage) -> tuple[Pixels, NDArray[np.int64]]:
    """Return the stored values that occur, and how often: what each looks like has to be asked once, not per pixel."""
    counts = count_values(sample.pixels)
    bits = np.flatnonzero(counts)
    unsigned = bits.astype(np.uint8 if sample.pixels.dtype.itemsize == 1 else np.uint16)
    return unsigned.view(sample.pixels.dtype), counts[bits]


def _contrast(shown: NDArray[np.float32], counts: NDArray[np.int64]) -> float:
    """Return how far the darkest and the brightest hundredth are apart, of levels that occur so often."""
    grays = (shown * _FINEST).astype(np.uint16)
    order = np.argsort(grays, kind="stable")
    below = np.cumsum(counts[order])
    darkest, brightest = grays[order[np.searchsorted(below, (0.01 * below[-1], 0.99 * below[-1]))]].tolist()
    return float(brightest - darkest) / _FINEST


def _is_lit(sample: GrayImage, lit: Pixels) -> NDArray[np.bool_]:
    """Return which pixels hold one of the values ``lit``; between the least and the largest only padding is none."""
    pixels = sample.pixels
    if not lit.size:
        return np.zeros(pixels.shape, np.bool_)
    is_lit = (pixels >= lit.min()) & (pixels <= lit.max())
    if sample.padding is not None:
        is_lit &= (pixels < sample.padding[0]) | (pixels > sample.padding[1])
    return np.asarray(is_lit)


def _coarse(film: GrayImage) -> NDArray[np.float32]:
    """Return the film as ``(rows, columns)`` gray, 0 to 1: in fields already, unless it is smaller than these."""
    if min(film.pixels.shape) < _FIELDS:
        return film.shown()
    return shrink(film, _FIELDS, _FIELDS) / np.float32(WHITE)


def is_inverted(shown: NDArray[np.float32]) -> bool:
    """Return whether a film ``(rows, columns)``, 0 black to 1 white, looks like the negative of a chest film."""
    return _is_negative(shown[_within_borders(shown > LEAST_CONTRAST)])


def _is_negative(shown: NDArray[np.float32]) -> bool:
    return chest_likeness(shown) < _INVERTED_BELOW


def chest_likeness(shown: NDArray[np.float32]) -> float:
    """Return the correlation, -1 to 1, of ``(rows, columns)`` gray levels, low black, with a frontal chest film.

    0 where every field is equally bright. The film is taken to fill the picture.
    """
    fields = cv2.resize(shown, (_FIELDS, _FIELDS), interpolation=cv2.INTER_AREA)[1:-1, 1:-1].astype(np.float64)
    fields -= fields.mean()
    chest = _CHEST_FIELDS - _CHEST_FIELDS.mean()
    norm = float(np.linalg.norm(fields) * np.linalg.norm(chest))
    return float((fields * chest).sum()) / norm if norm > 0 else 0.0


def _within_borders(is_lit: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns within those that hold nothing but black: padding, shutters, collimation.

    All of them where all is black.
    """
    rows, columns = np.flatnonzero(is_lit.any(axis=1)), np.flatnonzero(is_lit.any(axis=0))
    if not rows.size:
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
