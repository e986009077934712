"""Intervals of proportions and of what is made of two of them. Pure arithmetic; knows nothing of studies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

CONFIDENCE: Final = 0.95
_TAIL: Final = (1 - CONFIDENCE) / 2
_NONE: Final = 1e-9  # what weights that do not add up to the last digit leave of nothing


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Bounded:
        """Return the figure in other units."""
        return Bounded(value=factor * self.value, low=factor * self.low, high=factor * self.high)

    def rest(self) -> Bounded:
        """Return one minus it."""
        return Bounded(value=1 - self.value, low=1 - self.high, high=1 - self.low)


def proportion(value: float, trials: float) -> Bounded:
    """Return a proportion with the interval of Clopper and Pearson (Biometrika 1934), 26:404-413.

    ``trials`` may be an effective number, no whole one (Korn and Graubard, Survey Methodology 1998, 24:193-201). Chosen
    for the ends: where one miss in two hundred is expected, Wilson's interval held it in 93 % of runs, this one in more
    than 95 % (``python -m benchmarks.feedback``).
    """
    # Here, because loading it is a tenth of what the start of a gateway costs, and few are asked for a proportion.
    from scipy.special import betaincinv

    hits = value * trials
    misses = trials - hits
    low = 0.0 if hits < _NONE else float(betaincinv(hits, misses + 1, _TAIL))
    high = 1.0 if misses < _NONE else float(betaincinv(hits + 1, misses, 1 - _TAIL))
    return Bounded(value=value, low=min(low, value), high=max(high, value))


def part_of_both(part: Bounded, other: Bounded) -> Bounded | None:
    """Return ``part / (part + other)`` of two independent figures, neither negative; ``None`` where both are 0.

    By MOVER-R on their ratio (Donner and Zou, Stat. Methods Med. Res. 2012, 21:347-359), which needs no logarithm and
    so no miss to be found: with ``other`` 0 the result is 1, and its lower end says how little that means.
    """
    if part.value <= 0 and other.value <= 0:
        return None
    if part.value <= 0:
        _, highest = _ratio(part, other)
        return Bounded(value=0.0, low=0.0, high=1.0 if math.isinf(highest) else highest / (1 + highest))
    lowest, highest = _ratio(other, part)
    value = part.value / (part.value + other.value)
    return Bounded(value=value, low=1 / (1 + highest), high=1 / (1 + lowest))


def _ratio(upper: Bounded, lower: Bounded) -> tuple[float, float]:
    """Return the ends of ``upper / lower``, ``lower.value`` above 0; the higher one may be infinite."""
    product = upper.value * lower.value
    least = upper.low * (2 * upper.value - upper.low)
    root = math.sqrt(max(product**2 - lower.high * (2 * lower.value - lower.high) * least, 0.0))
    lowest = least / (product + root) if product + root > 0 else 0.0
    divisor = lower.low * (2 * lower.value - lower.low)
    if divisor <= 0:
        return lowest, math.inf
    root = math.sqrt(max(product**2 - divisor * upper.high * (2 * upper.value - upper.high), 0.0))
    return lowest, (product + root) / divisor
