"""Printed numbers stand for intervals; only what rounding cannot explain contradicts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.reports.rounding import Interval, as_printed, counts_within, exactly, over
from training.reports.statement import Verdict, compare


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("0.8235", 0.82345, 0.82355),
        (".48", 0.475, 0.485),
        ("52.00 %", 0.51995, 0.52005),
        ("18%", 0.175, 0.185),
        ("112,120", 112120, 112120),
    ],
)
def test_a_printed_number_is_all_that_rounds_to_it(text: str, low: float, high: float) -> None:
    assert as_printed(text).low == pytest.approx(low)
    assert as_printed(text).high == pytest.approx(high)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="'about half' is no printed number"):
        as_printed("about half")


@given(st.integers(1, 2000), st.integers(0, 2000))
def test_the_count_behind_a_printed_share_is_found_again(of: int, count: int) -> None:
    count = min(count, of)
    assert count in counts_within(as_printed(f"{100 * count / of:.2f} %"), of)


def test_a_share_that_no_count_gives_has_none() -> None:
    assert not counts_within(as_printed("59.30 %"), 300)
    assert list(counts_within(as_printed("59.33 %"), 300)) == [178]


@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_f1_of_printed_precision_and_recall_holds_the_true_one(precision: float, recall: float) -> None:
    def f1(one: float, other: float) -> float:
        return 2 * one * other / (one + other)

    found = over(f1, as_printed(f"{precision:.2f}"), as_printed(f"{recall:.2f}"))
    assert found.meets(exactly(f1(precision, recall)))


def test_intervals_that_do_not_meet_contradict_by_the_distance_of_their_middles() -> None:
    apart = compare("x.y", "accuracy", "52.00 %", 0.525, how="")
    assert apart.verdict is Verdict.CONTRADICTS
    assert apart.difference == pytest.approx(0.005)
    assert apart.difference_shown == "0.500 %"
    assert compare("x.y", "accuracy", "52.50 %", 0.525, how="").verdict is Verdict.AGREES


def test_an_interval_is_shown_from_end_to_end() -> None:
    assert compare("x.y", "F1", "0.43", Interval(0.4241, 0.4342), how="").shown == "0.424 to 0.434"
