"""Thresholds are the best of all on the films at hand, and as certain as their rank says; `test_guarantees` repeats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from mapie.risk_control import MultiLabelClassificationController
from scipy.stats import binomtest
from sklearn.metrics import fbeta_score

from training.errors import RecallFloorUnreachable
from training.statistics.metrics import confusion, f_beta_of_rates
from training.statistics.thresholds import (
    FLAG_EVERYTHING,
    certified_threshold,
    cost_threshold,
    expected_threshold,
    f_beta_threshold,
    one_film_per_patient,
    positives_needed,
)


def drawn(seed: int, films: int = 300, prevalence: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(films) < prevalence).astype(int)
    # Rounded, so that there are ties within and between the classes.
    return labels, np.round(np.clip(rng.normal(0.3 + 0.3 * labels, 0.15), 0, 1), 2)


def best(scores: np.ndarray, value: Callable[[float], float]) -> float:
    """Try every distinct score; of equals the lowest, which flags everything, is 0."""
    candidates = np.unique(scores)
    values = np.array([value(float(candidate)) for candidate in candidates])
    place = int(np.flatnonzero(values >= values.max() - 1e-12)[0])
    return FLAG_EVERYTHING if place == 0 else float(candidates[place])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_the_f_beta_threshold_is_the_best_of_all(seed: int, beta: float) -> None:
    labels, scores = drawn(seed)
    expected = best(scores, lambda threshold: fbeta_score(labels, scores >= threshold, beta=beta))
    assert f_beta_threshold(labels, scores, beta_weight=beta) == expected


@pytest.mark.parametrize("prevalence", [0.05, 0.25, 0.6])
def test_the_f3_threshold_at_another_prevalence_is_the_best_there(prevalence: float) -> None:
    labels, scores = drawn(7)

    def f3(threshold: float) -> float:
        counts = confusion(labels, scores, threshold)
        return float(f_beta_of_rates(counts.sensitivity, 1 - counts.specificity, prevalence))

    found = f_beta_threshold(labels, scores, prevalence=prevalence)
    assert f3(found) == pytest.approx(max(f3(threshold) for threshold in np.unique(scores)))


def test_the_fewer_unhealthy_films_the_higher_the_f3_threshold() -> None:
    labels, scores = drawn(3, films=2000)
    found = [f_beta_threshold(labels, scores, prevalence=prevalence) for prevalence in (0.6, 0.25, 0.1, 0.02)]
    assert found == sorted(found)
    assert found[0] < found[-1]


@pytest.mark.parametrize("ratio", [0.5, 3, 20, 1000])
def test_the_cost_threshold_costs_least(ratio: float) -> None:
    labels, scores = drawn(5)

    def saved(threshold: float) -> float:
        counts = confusion(labels, scores, threshold)
        return -(ratio * counts.false_negatives + counts.false_positives)

    assert cost_threshold(labels, scores, ratio=ratio) == best(scores, saved)


def test_on_calibrated_scores_the_cost_threshold_is_that_of_bayes() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(200_000)
    labels = (rng.random(200_000) < scores).astype(int)
    for ratio in (1, 4, 9):
        assert cost_threshold(labels, scores, ratio=ratio) == pytest.approx(1 / (1 + ratio), abs=0.03)


def test_on_calibrated_scores_the_f3_threshold_is_a_tenth_of_its_f3() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(200_000) ** 3
    labels = (rng.random(200_000) < scores).astype(int)
    found = f_beta_threshold(labels, scores)
    assert found == pytest.approx(confusion(labels, scores, found).f3 / 10, abs=0.01)


def test_scores_that_know_nothing_flag_everything() -> None:
    labels = np.array([0, 1] * 50)
    for scores in (np.full(100, 0.5), 1.0 - labels):
        assert f_beta_threshold(labels, scores) == FLAG_EVERYTHING
        assert cost_threshold(labels, scores, ratio=10) == FLAG_EVERYTHING


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


def test_a_certificate_is_the_exact_bound_of_scipy_at_its_rank() -> None:
    scores = np.random.default_rng(0).normal(size=191)
    found = certified_threshold(scores, sensitivity=0.95, confidence=0.95)
    assert np.sum(scores < found.threshold) == found.misses

    def bound(misses: int) -> float:
        interval = binomtest(misses, 191, alternative="less").proportion_ci(0.95, method="exact")
        return float(interval.high)

    assert found.miss_bound == pytest.approx(bound(found.misses))
    assert bound(found.misses) <= 0.05 < bound(found.misses + 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_expected_threshold_is_that_of_mapie(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Three films each of 120 patients; those that are unhealthy count. Thirds never meet .05 x 121 exactly.
    scores, unhealthy = rng.random((120, 3)), rng.random((120, 3)) < 0.6
    unhealthy[:, 0] = True
    grid = np.sort(scores[unhealthy]) - 1e-9
    oracle = MultiLabelClassificationController(
        lambda films: films, risk="recall", method="crc", target_level=0.95, predict_params=grid
    )
    expected = float(oracle.calibrate(scores, unhealthy.astype(int)).best_predict_param[0])
    patients = np.repeat(np.arange(120).astype(np.str_), 3).reshape(120, 3)
    found = expected_threshold(scores[unhealthy], patients[unhealthy], sensitivity=0.95)
    # MAPIE flags above its parameter, we at or above the score just beyond it.
    assert found.threshold == pytest.approx(expected + 1e-9, abs=1e-12)
    assert found.patients == 120


def test_the_expected_threshold_is_the_highest_that_the_rule_allows() -> None:
    rng = np.random.default_rng(9)
    patients = rng.integers(0, 70, 200).astype(np.str_)
    scores = rng.random(200).round(2)

    def controlled(threshold: float) -> bool:
        losses = [float(np.mean(scores[patients == name] < threshold)) for name in np.unique(patients)]
        return (sum(losses) + 1) / (len(losses) + 1) <= 0.05 + 1e-12

    found = expected_threshold(scores, patients, sensitivity=0.95)
    assert found.threshold == max(score for score in scores if controlled(score))
    names = np.unique(patients)
    losses = [float(np.mean(scores[patients == name] < found.threshold)) for name in names]
    assert found.miss_share == pytest.approx(float(np.mean(losses)))


@pytest.mark.parametrize(("sensitivity", "needed"), [(0.95, 19), (0.99, 99)])
def test_an_expected_threshold_needs_so_many_patients(sensitivity: float, needed: int) -> None:
    scores, patients = np.linspace(0.1, 0.9, needed), np.arange(needed).astype(np.str_)
    found = expected_threshold(scores, patients, sensitivity=sensitivity)
    assert (found.threshold, found.miss_share) == (scores[0], 0.0)
    with pytest.raises(RecallFloorUnreachable, match=f"at least {needed}"):
        expected_threshold(scores[1:], patients[1:], sensitivity=sensitivity)
    with pytest.raises(RecallFloorUnreachable):
        expected_threshold(scores[:0], patients[:0], sensitivity=sensitivity)


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
