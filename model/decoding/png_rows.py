"""Undoes the filters of a PNG's rows, compiled (see ``model.kernels``). No bounds are checked here: ``png`` does.

Source: PNG specification (third edition) section 9.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from model.kernels.compiling import compiled

_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)
_FILTERED: Final = types.Array(types.uint8, 2, "C", readonly=True)
_PIXELS: Final = types.Array(types.uint8, 2, "C")


@njit
def _copy(coded, row):  # type: ignore[no-untyped-def]
    """As ``row[:] = coded``, which takes three seconds to compile."""
    for index in range(len(row)):
        row[index] = coded[index]


@njit
def _undo_sub(coded, row, step):  # type: ignore[no-untyped-def]
    for first in range(step):
        left = 0
        for index in range(first, len(row), step):
            left = (left + coded[index]) & 0xFF
            row[index] = left


@njit
def _undo_up(coded, above, row):  # type: ignore[no-untyped-def]
    for index in range(len(row)):
        row[index] = coded[index] + above[index]


@njit
def _undo_average(coded, above, row, step):  # type: ignore[no-untyped-def]
    for first in range(step):
        left = 0
        for index in range(first, len(row), step):
            left = (coded[index] + ((left + above[index]) >> 1)) & 0xFF
            row[index] = left


@njit
def _undo_paeth(coded, above, row, step):  # type: ignore[no-untyped-def]
    """Without branches, which noise would make the processor guess wrong."""
    for first in range(step):
        left = corner = np.int64(0)
        for index in range(first, len(row), step):
            up = np.int64(above[index])
            nearest, distance = left, abs(up - corner)
            to_up, to_corner = abs(left - corner), abs(left + up - 2 * corner)
            nearest = up if to_up < distance else nearest
            distance = min(distance, to_up)
            nearest = corner if to_corner < distance else nearest
            left = (coded[index] + nearest) & 0xFF
            row[index] = left
            corner = up


@compiled(types.boolean(_FILTERED, _PIXELS, types.int64))
def undo_filters(filtered: NDArray[np.uint8], pixels: NDArray[np.uint8], step: int) -> bool:
    """Fill ``pixels``; return whether every row names a filter that there is.

    Parameters
    ----------
    filtered
        ``(rows, 1 + row bytes)``: each row behind the type of its filter.
    pixels
        ``(rows, row bytes)``, filled.
    step
        Bytes of a pixel.
    """
    above = np.zeros(pixels.shape[1], np.uint8)
    for index in range(len(pixels)):
        kind, coded, row = filtered[index, 0], filtered[index, 1:], pixels[index]
        if kind == _NONE:
            _copy(coded, row)
        elif kind == _SUB:
            _undo_sub(coded, row, step)
        elif kind == _UP:
            _undo_up(coded, above, row)
        elif kind == _AVERAGE:
            _undo_average(coded, above, row, step)
        elif kind == _PAETH:
            _undo_paeth(coded, above, row, step)
        else:
            return False
        above = row
    return True
