"""Thresholds keep what they promise: certified sensitivity in repeated draws, F3's optimum on the films at hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.metrics import log_loss

from training.errors import RecallFloorUnreachable, TrainingDiverged
from training.metrics import confusion
from training.thresholds import (
    FLAG_EVERYTHING,
    certified_threshold,
    f3_threshold,
    fit_temperature,
    one_film_per_patient,
    positives_needed,
)


def test_the_f3_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.1).astype(int)
    scores = np.clip(rng.normal(0.3 + 0.4 * labels, 0.1), 0, 1)
    best = confusion(labels, scores, f3_threshold(labels, scores)).f3
    assert best == max(confusion(labels, scores, threshold).f3 for threshold in np.unique(scores))
    assert best > confusion(labels, scores, FLAG_EVERYTHING).f3


def test_scores_that_know_nothing_flag_everything() -> None:
    labels = np.array([0, 1] * 50)
    assert f3_threshold(labels, np.full(100, 0.5)) == FLAG_EVERYTHING
    assert f3_threshold(labels, 1.0 - labels) == FLAG_EVERYTHING


@pytest.mark.parametrize(("sensitivity", "needed"), [(0.95, 59), (0.975, 119), (0.99, 299)])
def test_a_certificate_needs_as_many_positives_as_the_books_say(sensitivity: float, needed: int) -> None:
    assert positives_needed(sensitivity, 0.95) == needed
    scores = np.linspace(0.1, 0.9, needed)
    assert certified_threshold(scores, sensitivity=sensitivity, confidence=0.95).misses == 0
    with pytest.raises(RecallFloorUnreachable, match=f"at least {needed}"):
        certified_threshold(scores[1:], sensitivity=sensitivity, confidence=0.95)


@pytest.mark.parametrize(("sensitivity", "misses"), [(0.95, 83), (0.975, 38), (0.99, 12)])
def test_two_thousand_positives_allow_the_misses_of_the_fact_book(sensitivity: float, misses: int) -> None:
    certificate = certified_threshold(np.linspace(0, 1, 2000), sensitivity=sensitivity, confidence=0.95)
    assert certificate.misses == misses
    assert certificate.miss_bound <= 1 - sensitivity


def test_no_positives_certify_nothing() -> None:
    with pytest.raises(RecallFloorUnreachable):
        certified_threshold(np.array([]), sensitivity=0.95, confidence=0.95)


def test_certificates_are_broken_no_more_often_than_they_say() -> None:
    rng = np.random.default_rng(0)
    draws = 1000
    broken = 0
    for _ in range(draws):
        threshold = certified_threshold(rng.normal(size=200), sensitivity=0.95, confidence=0.95).threshold
        broken += norm.cdf(threshold) > 0.05
    assert broken > 0
    assert binom.sf(broken - 1, draws, 0.05) > 0.001


def test_one_film_is_taken_of_each_patient_that_has_an_eligible_one() -> None:
    patients = np.array(["a", "a", "a", "b", "b", "c"])
    eligible = np.array([True, True, False, False, True, False])
    seen = set()
    for seed in range(20):
        rows = one_film_per_patient(patients, eligible, seed)
        assert list(patients[rows]) == ["a", "b"]
        assert eligible[rows].all()
        seen |= set(rows.tolist())
    assert seen == {0, 1, 4}


def test_the_temperature_undoes_overconfidence_and_keeps_the_order() -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-margins))).astype(int)
    assert fit_temperature(margins * 3, labels) == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("direction", [1.0, -1.0], ids=["separated-entirely", "worse-than-chance"])
def test_a_temperature_on_its_bound_is_refused(direction: float) -> None:
    labels = np.array([0, 1] * 50)
    with pytest.raises(TrainingDiverged, match="temperature is on its bound"):
        fit_temperature(direction * (labels * 2.0 - 1.0), labels)


def test_the_temperature_is_the_one_with_the_least_log_loss() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 500)
    margins = rng.normal(labels * 2 - 1, 2)
    best = fit_temperature(margins, labels)

    def loss(temperature: float) -> float:
        return float(log_loss(labels, 1 / (1 + np.exp(-margins / temperature))))

    assert loss(best) <= min(loss(best * 1.05), loss(best / 1.05), loss(1.0))
