"""Intervals against those of scipy's own test, and against what defines them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from services.jobs.proportions import Bounded, part_of_both, proportion


@given(trials=st.integers(1, 5000), data=st.data())
def test_interval_is_that_of_clopper_and_pearson(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    exact = binomtest(hits, trials).proportion_ci(0.95, method="exact")
    ours = proportion(hits / trials, trials)
    assert (ours.low, ours.high) == pytest.approx((exact.low, exact.high), rel=1e-6, abs=1e-9)


def test_share_that_misses_one_by_a_rounding_is_one() -> None:
    ours = proportion(1 - 1e-16, 300.0)
    assert ours.high == 1.0
    assert ours.low == pytest.approx(0.025 ** (1 / 300))


def test_rest_is_one_minus_and_times_a_factor() -> None:
    assert Bounded(value=0.9, low=0.8, high=0.95).rest() == Bounded(value=1 - 0.9, low=1 - 0.95, high=1 - 0.8)
    assert Bounded(value=0.5, low=0.25, high=1.0).times(0.5) == Bounded(value=0.25, low=0.125, high=0.5)


PARTS = st.tuples(*[st.floats(0.001, 1)] * 3).map(sorted).map(lambda at: Bounded(low=at[0], value=at[1], high=at[2]))


def ends_by_search(part: Bounded, other: Bounded) -> tuple[float, float]:
    """Return MOVER-R's ends of ``other / part`` from what defines them: where the limits of a difference cross 0."""

    def lower(ratio: float) -> float:
        spread = math.hypot(other.value - other.low, ratio * (part.high - part.value))
        return other.value - ratio * part.value - spread

    def upper(ratio: float) -> float:
        spread = math.hypot(other.high - other.value, ratio * (part.value - part.low))
        return other.value - ratio * part.value + spread

    def crossing(limit: object) -> float:
        low, high = 0.0, 1e9
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if limit(middle) > 0 else (low, middle)  # type: ignore[operator]
        return (low + high) / 2

    return crossing(lower), crossing(upper)


@given(part=PARTS, other=PARTS)
def test_part_of_both_has_the_ends_that_define_mover(part: Bounded, other: Bounded) -> None:
    lowest, highest = ends_by_search(part, other)
    ours = part_of_both(part, other)
    assert ours is not None
    assert ours.value == pytest.approx(part.value / (part.value + other.value))
    assert (ours.low, ours.high) == pytest.approx((1 / (1 + highest), 1 / (1 + lowest)), rel=1e-5, abs=1e-7)
    assert 0 <= ours.low <= ours.value * (1 + 1e-9)
    assert ours.value <= ours.high * (1 + 1e-9) <= 1 + 1e-8


def test_no_miss_leaves_a_lower_end_that_says_how_little_was_looked_at() -> None:
    found = proportion(0.1, 1000)
    few, many = (part_of_both(found, proportion(0.0, trials)) for trials in (50, 5000))
    assert few is not None
    assert many is not None
    assert few.value == many.value == 1.0
    assert few.low < 0.7
    assert many.low > 0.98


def test_no_hit_and_nothing_at_all() -> None:
    nothing, something = proportion(0.0, 100), proportion(0.1, 100)
    none_found = part_of_both(nothing, something)
    assert none_found is not None
    assert (none_found.value, none_found.low) == (0.0, 0.0)
    assert 0.1 < none_found.high < 0.6
    assert part_of_both(nothing, nothing) is None


def test_ratio_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        part, other = (proportion(random.binomial(400, share) / 400, 400) for share in (0.3, 0.05))
        bounds = part_of_both(part, other)
        hits += bounds is not None and bounds.low <= 0.3 / 0.35 <= bounds.high
    assert hits >= 372  # 93 %
