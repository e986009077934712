"""From stored values to gray: modality transform, VOI transform, padding, and the one inversion of MONOCHROME1.

PS3.3 C.11.1 (modality), C.11.2 (VOI), C.7.5.1.1.2 (padding), C.7.6.3.1.2 (photometric). Stays in the stored integers
wherever the transform is linear: what is shown black and white is found in stored units, the pixels are only clipped
(PERFORMANCE.md §B finding 1); SIGMOID and LUT sequences go through one table. Must not know files or codecs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.errors import Reason, UnsuitableImage
from model.image import LEAST_CONTRAST, GrayImage, Pixels

# Without VOI attributes the film is shown between these percentiles of its unpadded pixels (DESIGN §4).
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
# Clipping at integers moves a level by less than 1: below this span that would cost more than 5e-4 of the range.
_INTEGER_SPAN: Final = 2000.0
_TABLE_WHITE: Final = 65535
_HISTOGRAM_CHUNK: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class LookupTable:
    """A Modality or VOI LUT: ``entries[0]`` belongs to input ``first``; inputs outside take the nearest entry.

    ``maximum`` is the largest output that the descriptor's bits allow.
    """

    first: int
    entries: NDArray[np.uint16]
    maximum: int

    def look_up(self, values: NDArray[np.float64]) -> NDArray[np.uint16]:
        """Return the outputs for ``values``, rounded to the nearest input."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[index.astype(np.intp)])


@dataclass(frozen=True, kw_only=True)
class Window:
    """(0028,1050) Window Center, (0028,1051) Window Width, (0028,1056) VOI LUT Function."""

    center: float
    width: float
    function: str = "LINEAR"

    @property
    def is_usable(self) -> bool:
        """Whether width and function are legal: PS3.3 C.11.2.1.2.1 wants 1 or more, C.11.2.1.3 more than 0."""
        smallest = {"LINEAR": 1.0, "LINEAR_EXACT": math.ulp(0.0), "SIGMOID": math.ulp(0.0)}.get(self.function, math.inf)
        return math.isfinite(self.center) and smallest <= self.width < math.inf

    def levels(self) -> tuple[float, float] | None:
        """Return the inputs shown black and white; ``None`` where the function is not linear or is a step."""
        if self.function == "LINEAR_EXACT":
            return self.center - self.width / 2, self.center + self.width / 2
        if self.function == "LINEAR" and self.width > 1:
            middle, half = self.center - 0.5, (self.width - 1) / 2
            return middle - half, middle + half
        return None

    def look_up(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs in [0, 1] of SIGMOID (C.11.2.1.3.1) or of the step that LINEAR of width 1 is."""
        if self.function == "SIGMOID":
            exponent = np.clip(-4 * (values - self.center) / self.width, -700, 700)  # exp() overflows at 710
            return np.asarray(1 / (1 + np.exp(exponent)))
        return np.asarray(values > self.center - 0.5, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class GrayTransform:
    """All that stands between stored values and the reader's eye.

    ``modality_lut`` outweighs slope and intercept, ``voi_lut`` outweighs ``window``. ``padding`` is an inclusive range
    of stored values that are no picture.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: LookupTable | None = None
    voi_lut: LookupTable | None = None
    window: Window | None = None
    padding: tuple[int, int] | None = None
    is_inverted: bool = False


def to_gray(stored: NDArray[Any], transform: GrayTransform, pixel_aspect: float = 1.0) -> GrayImage:
    """Apply the transform.

    Parameters
    ----------
    stored
        ``(rows, columns)`` uint8, uint16 or int16.
    transform
        An unusable window (width of 0, NaN, unknown function) counts as none: percentiles then.

    Raises
    ------
    UnsuitableImage
        Reason ``blank``: nothing but padding, a constant film, a window that shows none of it, or next to no contrast
        beside the padding.
    """
    padding = _padding_mask(stored, transform.padding)
    slope, intercept = transform.slope, transform.intercept
    if transform.modality_lut is not None:
        stored = _take(stored, transform.modality_lut.look_up(_domain(stored.dtype)))
        slope, intercept = 1.0, 0.0
    window = transform.window if transform.window is not None and transform.window.is_usable else None
    if transform.voi_lut is not None or (window is not None and window.levels() is None):
        modality = slope * _domain(stored.dtype) + intercept
        stored = _take(stored, _voi_table(modality, transform.voi_lut, window))
        black, white = 0.0, float(_TABLE_WHITE)
    else:
        black, white = _levels(stored, padding, window, slope, intercept)
    if transform.is_inverted:
        black, white = white, black
    return GrayImage(pixels=_clip(stored, black, white, padding), black=black, white=white, pixel_aspect=pixel_aspect)


def _padding_mask(stored: NDArray[Any], padding: tuple[int, int] | None) -> NDArray[np.bool_] | None:
    if padding is None:
        return None
    low, high = min(padding), max(padding)
    mask = np.asarray((stored >= low) & (stored <= high))
    if mask.all():
        raise UnsuitableImage(Reason.BLANK, "the film is nothing but padding")
    return mask if mask.any() else None


def _domain(dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """Return every value of an integer dtype, in the order of its bits."""
    bits = np.arange(2 ** (8 * dtype.itemsize), dtype=np.uint8 if dtype.itemsize == 1 else np.uint16)
    return bits.view(dtype).astype(np.float64)


def _take(stored: NDArray[Any], table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return np.take(table, stored.view(np.uint16) if stored.dtype == np.int16 else stored)


def _voi_table(modality: NDArray[np.float64], lut: LookupTable | None, window: Window | None) -> NDArray[np.uint16]:
    """Return the table from stored bits to 0 .. 65535; the VOI's output range becomes the full range."""
    if lut is not None:
        shown = np.minimum(lut.look_up(modality) / lut.maximum, 1.0)
    else:
        assert window is not None
        shown = window.look_up(modality)
    return np.asarray(np.rint(shown * _TABLE_WHITE), dtype=np.uint16)


def _levels(
    stored: NDArray[Any], padding: NDArray[np.bool_] | None, window: Window | None, slope: float, intercept: float
) -> tuple[float, float]:
    """Return the stored values shown black and white; a negative slope turns them round by itself."""
    if slope == 0:
        raise UnsuitableImage(Reason.BLANK, "Rescale Slope is 0")
    levels = window.levels() if window is not None else None
    if levels is not None:
        black, white = ((level - intercept) / slope for level in levels)
    else:
        low, high = _percentiles(stored, padding)
        black, white = (low, high) if slope > 0 else (high, low)
    if not (math.isfinite(black) and math.isfinite(white)) or black == white:
        raise UnsuitableImage(Reason.BLANK, "the film is constant")
    return black, white


def _percentiles(stored: NDArray[Any], padding: NDArray[np.bool_] | None) -> tuple[float, float]:
    """Return the two percentiles, interpolated as ``numpy.percentile`` does, but from a histogram: 20 times faster."""
    picture = stored.reshape(-1) if padding is None else stored[~padding]
    lowest = int(np.iinfo(stored.dtype).min)
    counts = np.zeros(2 ** (8 * stored.dtype.itemsize), dtype=np.int64)
    for start in range(0, picture.size, _HISTOGRAM_CHUNK):
        chunk = picture[start : start + _HISTOGRAM_CHUNK].astype(np.int32) - lowest
        counts += np.bincount(chunk, minlength=counts.size)
    below = np.cumsum(counts)

    def at(percent: float) -> float:
        rank = percent / 100 * (picture.size - 1)
        low, high = (int(np.searchsorted(below, position, side="right")) for position in (int(rank), math.ceil(rank)))
        return lowest + low + (high - low) * (rank - int(rank))

    return at(LOW_PERCENTILE), at(HIGH_PERCENTILE)


def _clip(stored: NDArray[Any], black: float, white: float, padding: NDArray[np.bool_] | None) -> Pixels:
    """Clip to the levels, in integers where that is exact or near enough, and paint the padding black.

    Black may lie where the integers do not reach: padding asks for floats then.
    """
    low, high = min(black, white), max(black, white)
    limits = np.iinfo(stored.dtype)
    if low > limits.max or high < limits.min:
        raise UnsuitableImage(Reason.BLANK, "the window shows none of the film")
    if padding is not None:
        _require_contrast(stored, padding, low, high)
    is_integer = low.is_integer() and high.is_integer()
    is_storable = padding is None or limits.min <= black <= limits.max
    clipped: NDArray[Any]
    if is_storable and (is_integer or high - low >= _INTEGER_SPAN):
        bounds = max(math.ceil(low), limits.min), min(math.floor(high), limits.max)
        clipped = np.clip(stored, *bounds)
        paint: float = bounds[0] if black < white else bounds[1]
    else:
        clipped = np.clip(stored.astype(np.float32), np.float32(low), np.float32(high))
        paint = black
    if padding is not None:
        clipped[padding] = paint
    return clipped


def _require_contrast(stored: NDArray[Any], padding: NDArray[np.bool_], low: float, high: float) -> None:
    darkest, brightest = (min(max(level, low), high) for level in _percentiles(stored, padding))
    if brightest - darkest < LEAST_CONTRAST * (high - low):
        raise UnsuitableImage(Reason.BLANK, "the film shows next to no contrast beside its padding")
