"""The population stability index against the shipped bundle's test films: silent at any prevalence, loud at drift."""

from __future__ import annotations

import itertools
import json
import math
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from model.bundle import REPORT_FILE
from services.worker.bundles import default_bundle_directory
from services.worker.drift import FEWEST_SCORES, LAST_SCORES, ScoreDrift, ScoreReference

REPORT: Final = (default_bundle_directory() / REPORT_FILE).read_bytes()
HISTOGRAM: Final = json.loads(REPORT)["curves"]["histogram"]
ALERT: Final = 0.25


@pytest.fixture
def drift() -> ScoreDrift:
    return ScoreDrift(ScoreReference.of(REPORT))


def scores(prevalence: float, *, seed: int = 1) -> NDArray[np.float64]:
    """Return as many scores as are compared, spread like the bundle's test films at another prevalence."""
    rng = np.random.default_rng(seed)
    shares = [np.asarray(HISTOGRAM[name], np.float64) / sum(HISTOGRAM[name]) for name in ("healthy", "unhealthy")]
    bins = rng.choice(len(shares[0]), p=(1 - prevalence) * shares[0] + prevalence * shares[1], size=LAST_SCORES)
    edges = np.asarray(HISTOGRAM["edges"])
    return np.asarray(rng.uniform(edges[bins], edges[bins + 1]))


@pytest.mark.parametrize("prevalence", [0.02, 0.1, 0.57, 0.9])
def test_films_like_those_of_the_test_are_no_drift_at_any_prevalence(drift: ScoreDrift, prevalence: float) -> None:
    for score in scores(prevalence):
        drift.add(score)
    assert drift.index < ALERT / 2


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_scores_that_have_moved_as_no_prevalence_moves_them_are_drift(drift: ScoreDrift, shift: float) -> None:
    moved = scores(0.1)
    for score in 1 / (1 + np.exp(-np.log(moved / (1 - moved)) - shift)):
        drift.add(score)
    assert drift.index > ALERT


@pytest.mark.parametrize("seed", range(8))
def test_index_is_what_the_definition_gives_term_by_term(drift: ScoreDrift, seed: int) -> None:
    reference = ScoreReference.of(REPORT)
    assert reference is not None
    rng = np.random.default_rng(seed)
    drawn = rng.beta(*rng.uniform(0.5, 4, 2), LAST_SCORES).tolist()
    for score in drawn:
        drift.add(score)
    edges = [0.0, *reference.inner_edges.tolist(), math.inf]
    bins = list(itertools.pairwise(edges))
    observed = _shares([sum(low <= score < high for score in drawn) for low, high in bins])
    middles = [(low + high) / 2 for low, high in itertools.pairwise(HISTOGRAM["edges"])]
    healthy, unhealthy = (
        _shares(
            [
                sum(n for middle, n in zip(middles, HISTOGRAM[name], strict=True) if low <= middle < high)
                for low, high in bins
            ]
        )
        for name in ("healthy", "unhealthy")
    )

    def index(prevalence: float) -> float:
        mixed = [prevalence * ill + (1 - prevalence) * well for ill, well in zip(unhealthy, healthy, strict=True)]
        return sum((seen - due) * math.log(seen / due) for seen, due in zip(observed, mixed, strict=True))

    smallest = minimize_scalar(index, bounds=(0.0, 1.0), method="bounded").fun
    assert drift.index == pytest.approx(smallest, rel=0.01)


def _shares(counts: list[int]) -> list[float]:
    total = sum(counts) + len(counts) / 2
    return [(count + 0.5) / total for count in counts]


def test_old_scores_go(drift: ScoreDrift) -> None:
    for _ in range(LAST_SCORES):
        drift.add(0.999)
    assert drift.index > ALERT
    for score in scores(0.5):
        drift.add(score)
    assert drift.films == LAST_SCORES
    assert drift.index < ALERT / 2


def test_too_few_scores_have_no_index(drift: ScoreDrift) -> None:
    for score in scores(0.5)[: FEWEST_SCORES - 1]:
        drift.add(score)
    assert math.isnan(drift.index)
    drift.add(0.5)
    assert not math.isnan(drift.index)


def test_every_score_has_a_bin_and_none_is_empty_of_reference(drift: ScoreDrift) -> None:
    reference = ScoreReference.of(REPORT)
    assert reference is not None
    assert reference.films == drift.reference_films == sum(HISTOGRAM["healthy"]) + sum(HISTOGRAM["unhealthy"])
    assert (reference.healthy > 0).all()
    assert (reference.unhealthy > 0).all()
    assert reference.healthy.sum() == pytest.approx(1) == reference.unhealthy.sum()
    for score in (0.0, 1.0, *reference.inner_edges):
        drift.add(float(score))


@pytest.mark.parametrize(
    "report",
    [
        None,
        b"",
        b"not a report",
        b"[]",
        b'{"curves": {}}',
        b'{"curves": {"histogram": {"edges": [0, 1], "healthy": [3], "unhealthy": [0]}}}',
        b'{"curves": {"histogram": {"edges": [0, 1], "healthy": [3, 4], "unhealthy": [1]}}}',
    ],
)
def test_bundle_without_a_histogram_of_both_classes_has_no_reference(report: bytes | None) -> None:
    drift = ScoreDrift(ScoreReference.of(report))
    drift.add(0.5)
    assert (drift.films, drift.reference_films) == (0, 0)
    assert math.isnan(drift.index)
