"""From stored values to gray: modality transform, VOI transform, padding, and the one inversion of MONOCHROME1.

PS3.3 C.11.1 (modality), C.11.2 (VOI), C.7.5.1.1.2 (padding), C.7.6.3.1.2 (photometric). Where the transform is linear
the stored values stay as and where they are: what is shown black and white is found in their units. SIGMOID and LUT
sequences go through one table. Must not know files or codecs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.errors import Reason, UnsuitableImage
from model.image import LEAST_CONTRAST, GrayImage
from model.kernels import count_values, look_up

# Without VOI attributes the film is shown between these percentiles of its unpadded pixels (DESIGN §4).
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
_TABLE_WHITE: Final = 65535


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

    @property
    def usable_window(self) -> Window | None:
        """The window, where it can be used."""
        return self.window if self.window is not None and self.window.is_usable else None

    @property
    def is_linear(self) -> bool:
        """Whether gray is an affine map of stored values, but for its ends."""
        window = self.usable_window
        is_windowed = window is None or window.levels() is not None
        return self.modality_lut is None and self.voi_lut is None and is_windowed

    @property
    def needs_counts(self) -> bool:
        """Whether it takes a histogram: for the percentiles, or to see how much of the film is padding."""
        return self.padding is not None or (self.voi_lut is None and self.usable_window is None)


def to_gray(stored: NDArray[Any], transform: GrayTransform, pixel_aspect: float = 1.0) -> GrayImage:
    """Apply the transform; ``stored`` itself becomes the film's pixels where no table is needed.

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
    # Every value that can be stored, in the order of bits, as tables and counts are.
    values = _domain(stored.dtype)
    counts, padding = _count_picture(stored, values, transform.padding) if transform.needs_counts else (None, None)
    if transform.is_linear:
        black, white = _levels(values, counts, transform.usable_window, transform.slope, transform.intercept)
    else:
        black, white = 0.0, float(_TABLE_WHITE)
    if padding is not None or not transform.is_linear:
        shares = _between(values, black, white) if transform.is_linear else _tabulate(values, counts, transform)
        if padding is not None:
            _require_contrast(shares, counts)
        if not transform.is_linear:
            stored, padding = look_up(stored, _table(shares, values, padding, is_inverted=transform.is_inverted)), None
    if transform.is_inverted:
        black, white = white, black
    return GrayImage(pixels=stored, black=black, white=white, padding=padding, pixel_aspect=pixel_aspect)


def _domain(dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """Return every value of an integer dtype, in the order of its bits."""
    bits = np.arange(2 ** (8 * dtype.itemsize), dtype=np.uint8 if dtype.itemsize == 1 else np.uint16)
    return bits.view(dtype).astype(np.float64)


def _count_picture(
    stored: NDArray[Any], values: NDArray[np.float64], padding: tuple[int, int] | None
) -> tuple[NDArray[np.int64], tuple[int, int] | None]:
    """Count the pixels that are no padding, value by value; return the padding's range, in order, if it occurs."""
    counts = count_values(stored)
    if padding is None:
        return counts, None
    is_padding = _is_within(values, padding)
    padded = int(counts[is_padding].sum())
    if padded == stored.size:
        raise UnsuitableImage(Reason.BLANK, "the film is nothing but padding")
    counts[is_padding] = 0
    return counts, (min(padding), max(padding)) if padded else None


def _is_within(values: NDArray[np.float64], padding: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray((values >= min(padding)) & (values <= max(padding)))


def _levels(
    values: NDArray[np.float64],
    counts: NDArray[np.int64] | None,
    window: Window | None,
    slope: float,
    intercept: float,
) -> tuple[float, float]:
    """Return which of ``values``, or between them, are shown black and white; a negative slope turns them round."""
    if slope == 0:
        raise UnsuitableImage(Reason.BLANK, "Rescale Slope is 0")
    levels = window.levels() if window is not None else None
    if levels is not None:
        black, white = ((level - intercept) / slope for level in levels)
    else:
        low, high = _percentiles(values, counts)
        black, white = (low, high) if slope > 0 else (high, low)
    if not (math.isfinite(black) and math.isfinite(white)) or black == white:
        raise UnsuitableImage(Reason.BLANK, "the film is constant")
    if min(black, white) > values.max() or max(black, white) < values.min():
        raise UnsuitableImage(Reason.BLANK, "the window shows none of the film")
    return black, white


def _percentiles(values: NDArray[np.float64], counts: NDArray[np.int64] | None) -> tuple[float, float]:
    """Return the two percentiles of a film that has each value so many times, as ``numpy.percentile`` does."""
    assert counts is not None, "transforms that need percentiles need counts"
    order = np.argsort(values, kind="stable")
    below = np.cumsum(counts[order])

    def at(percent: float) -> float:
        rank = percent / 100 * (int(below[-1]) - 1)
        places = np.searchsorted(below, (int(rank), math.ceil(rank)), side="right")
        low, high = values[order[places]].tolist()
        return float(low + (high - low) * (rank - int(rank)))

    return at(LOW_PERCENTILE), at(HIGH_PERCENTILE)


def _between(values: NDArray[np.float64], black: float, white: float) -> NDArray[np.float64]:
    return np.asarray(np.clip((values - black) / (white - black), 0.0, 1.0))


def _tabulate(
    values: NDArray[np.float64], counts: NDArray[np.int64] | None, transform: GrayTransform
) -> NDArray[np.float64]:
    """Return what each value looks like, 0 to 1, through a transform that is not linear; inversion aside."""
    window = transform.usable_window
    if transform.modality_lut is not None:
        modality = transform.modality_lut.look_up(values).astype(np.float64)
    else:
        modality = transform.slope * values + transform.intercept
    if transform.voi_lut is not None:
        return np.minimum(transform.voi_lut.look_up(modality) / transform.voi_lut.maximum, 1.0)
    if window is not None and window.levels() is None:
        return window.look_up(modality)
    return _between(modality, *_levels(modality, counts, window, 1.0, 0.0))


def _table(
    shares: NDArray[np.float64], values: NDArray[np.float64], padding: tuple[int, int] | None, *, is_inverted: bool
) -> NDArray[np.uint16]:
    """Return the table from stored bits to 0 .. 65535, with padding at the end that will be shown black."""
    table = np.rint(shares * _TABLE_WHITE).astype(np.uint16)
    if padding is not None:
        table[_is_within(values, padding)] = _TABLE_WHITE if is_inverted else 0
    return table


def _require_contrast(shares: NDArray[np.float64], counts: NDArray[np.int64] | None) -> None:
    darkest, brightest = _percentiles(shares, counts)
    if brightest - darkest < LEAST_CONTRAST:
        raise UnsuitableImage(Reason.BLANK, "the film shows next to no contrast beside its padding")
