"""Printed numbers as the intervals they stand for, and arithmetic that keeps the rounding.

A printed .0639 is any number from .06385 to .06395. A figure that is computed from printed ones is therefore an
interval too, and a report contradicts itself only where two intervals do not meet. Knows no report.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

_PRINTED = re.compile(r"-?[\d,]*\.?\d+\s*%?")
# Halves are rounded up by some and to even by others, and 59.5 has no exact double for a half-step beside it.
_SLACK = 1e-9


@dataclass(frozen=True)
class Interval:
    """All numbers from ``low`` to ``high``, both included."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The number half-way."""
        return (self.low + self.high) / 2

    def meets(self, other: Interval) -> bool:
        """Return whether some number lies in both."""
        return self.low <= other.high + _SLACK and other.low <= self.high + _SLACK

    def distance(self, other: Interval) -> float:
        """Return how far the two are apart; 0 where they meet."""
        return 0.0 if self.meets(other) else max(self.low - other.high, other.low - self.high)

    def intersection(self, other: Interval) -> Interval:
        """Return what lies in both, which must meet."""
        return Interval(max(self.low, other.low), min(self.high, other.high))


def exactly(value: float) -> Interval:
    """Return the interval that holds one number."""
    return Interval(value, value)


def as_printed(text: str) -> Interval:
    """Return the numbers that round to ``text``: ``.8235``, ``59.30 %`` (a share) or ``112,120`` (exact: a count).

    Raises
    ------
    ValueError
        If it is no number.
    """
    if not _PRINTED.fullmatch(text.strip()):
        raise ValueError(f"'{text}' is no printed number")
    is_share = "%" in text
    digits = text.replace("%", "").replace(",", "").strip()
    decimals = len(digits.partition(".")[2])
    if not decimals and not is_share:
        return exactly(float(digits))
    scale, half_step = (100.0 if is_share else 1.0), 0.5 * 10.0**-decimals
    return Interval((float(digits) - half_step) / scale, (float(digits) + half_step) / scale)


def over(function: Callable[..., float], *arguments: Interval) -> Interval:
    """Return the values of ``function`` over a box of intervals; it must be monotone in each argument alone."""
    values = [function(*corner) for corner in itertools.product(*((each.low, each.high) for each in arguments))]
    return Interval(min(values), max(values))


def counts_within(share: Interval, of: int) -> range:
    """Return the whole numbers of films whose share of ``of`` films lies in ``share``; empty where there is none."""
    first = -int(-(share.low * of - _SLACK) // 1)
    last = int((share.high * of + _SLACK) // 1)
    return range(max(first, 0), min(last, of) + 1)
