"""The estimator against a reference that knows every study, and what it does not say."""

from __future__ import annotations

import pytest

from benchmarks.feedback import FIGURES, Scenario, coverage
from services.jobs.performance import (
    BLIND_NEEDED,
    FLAGGED_NEEDED,
    KNOWN_NEEDED,
    TOO_SMALL,
    Cell,
    Figures,
    Reading,
    figures_of,
)
from services.jobs.standings import Truth


def readings(finding: int, no_finding: int, *, uncertain: int = 0, share: float = 1.0) -> tuple[Reading, ...]:
    counts = {Truth.FINDING: finding, Truth.NO_FINDING: no_finding, Truth.UNCERTAIN: uncertain}
    return tuple(Reading(truth=truth, share=share) for truth, count in counts.items() for _ in range(count))


def values(figures: Figures) -> dict[str, float | None]:
    found = {name: getattr(figures, name).figure for name in FIGURES}
    return {name: figure and figure.value for name, figure in found.items()}


def test_where_everything_is_read_the_figures_are_those_of_the_table() -> None:
    cell = Cell(flagged=200, not_flagged=800, of_flagged=readings(90, 110), blind=readings(10, 790))
    assert values(figures_of([cell])) == pytest.approx(
        {"sensitivity": 90 / 100, "specificity": 790 / 900, "ppv": 90 / 200, "npv": 790 / 800}
    )


def test_blind_readings_stand_for_as_many_as_their_share_says() -> None:
    cell = Cell(flagged=2000, not_flagged=8000, of_flagged=readings(90, 110), blind=readings(2, 158, share=0.02))
    missed = 8000 * 2 / 160
    assert values(figures_of([cell]))["sensitivity"] == pytest.approx(900 / (900 + missed))


def test_readings_drawn_with_another_share_count_for_as_many() -> None:
    """Hájek: 4 of 200 drawn at a tenth, 1 of 100 at a hundredth, of 12,000."""
    blind = readings(4, 196, share=0.1) + readings(1, 99, share=0.01)
    cell = Cell(flagged=100, not_flagged=12_000, of_flagged=readings(60, 40), blind=blind)
    assert values(figures_of([cell]))["npv"] == pytest.approx(1 - (4 * 10 + 1 * 100) / (200 * 10 + 100 * 100))


def test_groups_that_are_read_more_do_not_weigh_more() -> None:
    """A group of which half was read, and one of which all was: together as their studies are, not their readings."""
    cells = [
        Cell(flagged=100, not_flagged=500, of_flagged=readings(45, 5), blind=readings(1, 99)),
        Cell(flagged=100, not_flagged=500, of_flagged=readings(20, 80), blind=readings(5, 495)),
    ]
    found = values(figures_of(cells))
    assert found["ppv"] == pytest.approx((90 + 20) / 200)
    assert found["npv"] == pytest.approx(1 - (5 + 5) / 1000)
    assert found["sensitivity"] == pytest.approx(110 / 120)


def test_uncertain_truths_and_unread_draws_are_no_studies_without_finding() -> None:
    certain = Cell(flagged=200, not_flagged=800, of_flagged=readings(90, 110), blind=readings(4, 156))
    doubted = Cell(
        flagged=200,
        not_flagged=800,
        drawn=300,
        of_flagged=readings(90, 110, uncertain=30),
        blind=readings(4, 156, uncertain=40),
    )
    assert values(figures_of([doubted])) == pytest.approx(values(figures_of([certain])))
    assert figures_of([doubted]).npv.n == 160


def test_volunteered_and_outdated_assessments_move_nothing() -> None:
    cell = Cell(flagged=200, not_flagged=800, of_flagged=readings(90, 110), blind=readings(4, 156))
    told = Cell(**vars(cell) | {"volunteered": 50, "outdated": 9})
    assert figures_of([told]) == figures_of([cell])


@pytest.mark.parametrize(
    ("flagged", "blind", "missing"),
    [
        ((20, FLAGGED_NEEDED - 21), (5, BLIND_NEEDED), {"ppv", "sensitivity", "specificity"}),
        ((20, 20), (5, BLIND_NEEDED - 6), {"npv", "sensitivity", "specificity"}),
        ((KNOWN_NEEDED - 1, 40), (0, BLIND_NEEDED), {"sensitivity"}),
        ((KNOWN_NEEDED, 40), (0, BLIND_NEEDED), set()),
        ((0, 0), (0, 0), set(FIGURES)),
    ],
)
def test_too_few_readings_are_said_to_be_too_few(
    flagged: tuple[int, int], blind: tuple[int, int], missing: set[str]
) -> None:
    cell = Cell(flagged=500, not_flagged=5000, of_flagged=readings(*flagged), blind=readings(*blind, share=0.05))
    figures = figures_of([cell])
    assert {name for name, value in values(figures).items() if value is None} == missing
    assert {name for name in FIGURES if getattr(figures, name).note == TOO_SMALL} == missing


def test_nothing_at_all_is_too_few() -> None:
    assert set(values(figures_of([])).values()) == {None}


def test_no_miss_found_is_not_certainty() -> None:
    cell = Cell(flagged=300, not_flagged=2700, of_flagged=readings(100, 50), blind=readings(0, 150))
    sensitivity = figures_of([cell]).sensitivity.figure
    assert sensitivity is not None
    assert sensitivity.value == 1.0
    assert sensitivity.low < 0.85


@pytest.mark.parametrize("found", [30, 300, 1000])
def test_more_readings_narrow_the_interval_and_all_of_them_leave_one(found: int) -> None:
    half = found // 2
    cell = Cell(flagged=1000, not_flagged=9000, of_flagged=readings(half, found - half), blind=readings(5, 895))
    ppv = figures_of([cell]).ppv.figure
    assert ppv is not None
    assert ppv.high - ppv.low == pytest.approx(2 * 1.96 * (0.25 / found) ** 0.5, rel=0.15)


@pytest.mark.parametrize("prevalence", [0.02, 0.1, 0.3])
def test_true_figures_are_inside_their_intervals_in_93_of_100_simulated_sites(prevalence: float) -> None:
    """A seeded part of ``python -m benchmarks.feedback``, which has 1,000 runs of each and more of them."""
    scenario = Scenario(prevalence=prevalence, blind_share=0.05, studies=10_000)
    for name, seen in coverage(scenario, runs=200, seed=11).items():
        assert seen.told == 200
        assert seen.inside >= 0.93 * seen.told, f"{name}: {seen}"
