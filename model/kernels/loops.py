"""The loops themselves, in the part of Python that numba compiles. No bounds are checked here: ``kernels`` does.

Sums run in an order that does not depend on the processor, and nothing may be reassociated or contracted (no
``fastmath``): tensors are the same bytes wherever they are made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from model.kernels import GrayScale
from model.kernels.compiling import compiled


def _array(dtype: types.Type, dimensions: int, *, is_written: bool = False) -> types.Array:
    """Return the type of a contiguous array; one that is not written may be read-only, and need not be."""
    return types.Array(dtype, dimensions, "C", readonly=not is_written)


_SCALE = types.NamedUniTuple(types.float32, len(GrayScale._fields), GrayScale)  # type: ignore[no-untyped-call]
_WORDS = _array(types.uint16, 1)


@njit
def _add_row(sums, pixels, row, weight, scale):  # type: ignore[no-untyped-def]
    """Add one row's values, clipped and weighted. Vectorised by LLVM: 8 columns at a time with AVX."""
    for column in range(len(sums) - 1):
        level = np.float32(pixels[row, column]) - scale.base
        sums[column] += weight * min(max(level, scale.low), scale.high)


@njit
def _add_padded_row(sums, pixels, row, weight, scale):  # type: ignore[no-untyped-def]
    """As ``_add_row``, with padding black; apart from it because few films have any."""
    for column in range(len(sums) - 1):
        level = np.float32(pixels[row, column]) - scale.base
        clipped = min(max(level, scale.low), scale.high)
        is_padding = scale.first_padding <= level and level <= scale.last_padding
        sums[column] += weight * (scale.black if is_padding else clipped)


@njit
def _divide(extent, count):  # type: ignore[no-untyped-def]
    """Divide ``extent`` pixels into ``count`` equal parts.

    Part ``i`` has ``heads[i]`` of pixel ``starts[i]``, all of those up to ``starts[i + 1]``, and ``tails[i]`` of that.
    In integers, so that a boundary that lies on a pixel's edge really does.
    """
    starts = np.empty(count + 1, np.int64)
    heads = np.empty(count, np.float32)
    tails = np.empty(count, np.float32)
    for part in range(count):
        starts[part] = part * extent // count
        heads[part] = 1 - (part * extent % count) / count
        tails[part] = ((part + 1) * extent % count) / count
    starts[count] = extent
    return starts, heads, tails


@njit
def _add_rows(sums, pixels, first, last, head, tail, scale):  # type: ignore[no-untyped-def]
    has_padding = scale.first_padding <= scale.last_padding
    for row in range(first, last + 1):
        weight = np.float32(1)
        if row == first:
            weight = head
        elif row == last:
            weight = tail
        if weight == 0:
            continue  # also the row behind the last one
        if has_padding:
            _add_padded_row(sums, pixels, row, weight, scale)
        else:
            _add_row(sums, pixels, row, weight, scale)


@njit
def _count_halvings(extent, count):  # type: ignore[no-untyped-def]
    """How often neighbours can be added up in pairs before ``extent`` has to be divided into ``count`` parts."""
    halvings = 0
    while extent % (count << (halvings + 1)) == 0:
        halvings += 1
    return halvings


@njit
def _halve(line, half):  # type: ignore[no-untyped-def]
    """Add up neighbours in pairs; unlike parts of any length, many at once."""
    for index in range(len(half) - 1):
        half[index] = line[2 * index] + line[2 * index + 1]


@njit
def _add_columns(line, starts, heads, tails, totals):  # type: ignore[no-untyped-def]
    for part in range(len(totals)):
        total = line[starts[part]] * heads[part]
        for column in range(starts[part] + 1, starts[part + 1]):
            total += line[column]
        totals[part] = total + line[starts[part + 1]] * tails[part]


@compiled(
    *(
        types.void(_array(dtype, 2), types.int64, types.int64, _SCALE, _array(types.float32, 2, is_written=True))
        for dtype in (types.uint8, types.uint16, types.int16)
    )
)
def add_areas(pixels: NDArray[Any], height: int, width: int, scale: GrayScale, means: NDArray[np.float32]) -> None:
    """Fill ``means`` with the gray of each of its areas of ``pixels[:height, :width]``.

    Rows are added up first, along the width, where the processor takes many at once; then each sum's columns.
    """
    rows, columns = means.shape
    tops, first_rows, last_rows = _divide(height, rows)
    halvings = _count_halvings(width, columns)
    lefts, first_columns, last_columns = _divide(width >> halvings, columns)
    per_area = np.float32(rows * columns / (height * width))
    # Each has one more, for the column behind the last one.
    lines = [np.zeros((width >> times) + 1, np.float32) for times in range(halvings + 1)]
    for row in range(rows):
        lines[0][:] = 0
        _add_rows(lines[0], pixels, tops[row], tops[row + 1], first_rows[row], last_rows[row], scale)
        for times in range(halvings):
            _halve(lines[times], lines[times + 1])
        totals = lines[halvings]
        if width >> halvings != columns:
            _add_columns(lines[halvings], lefts, first_columns, last_columns, means[row])
            totals = means[row]
        for column in range(columns):
            means[row, column] = (totals[column] * per_area - scale.black) * scale.gray_per_level


@compiled(types.void(_WORDS, _array(types.uint32, 2, is_written=True)))
def count(words: NDArray[np.uint16], counters: NDArray[np.uint32]) -> None:
    """Count each word in one of the four ``counters``, the four in turns."""
    whole = len(words) // 4 * 4
    for index in range(0, whole, 4):
        counters[0, words[index]] += 1
        counters[1, words[index + 1]] += 1
        counters[2, words[index + 2]] += 1
        counters[3, words[index + 3]] += 1
    for index in range(whole, len(words)):
        counters[0, words[index]] += 1


@compiled(types.void(_WORDS, _WORDS, _array(types.uint16, 1, is_written=True)))
def look_up(words: NDArray[np.uint16], table: NDArray[np.uint16], found: NDArray[np.uint16]) -> None:
    """Fill ``found`` with each word's entry."""
    for index in range(len(words)):
        found[index] = table[words[index]]
