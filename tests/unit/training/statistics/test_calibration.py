"""Probabilities are made honest without ever changing the order of films, and so without moving a decision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression
from torch import from_numpy
from torchmetrics.functional.classification import binary_calibration_error

from training.errors import DatasetError, TrainingDiverged
from training.statistics.calibration import (
    brier_score,
    expected_calibration_error,
    fit_platt,
    fit_temperature,
    log_loss,
    prior_shift,
    reliability,
    shifted,
    weighted_calibration_error,
)
from training.statistics.thresholds import certified_threshold, expected_threshold


def test_the_temperature_undoes_overconfidence_and_keeps_the_order() -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < expit(margins)).astype(int)
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
        return float(sklearn_metrics.log_loss(labels, expit(margins / temperature)))

    assert loss(best) <= min(loss(best * 1.05), loss(best / 1.05), loss(1.0))


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (4.0, -30.0), (0.3, 12.0)])
def test_slope_and_offset_are_those_of_a_logistic_regression(scale: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    margins = scale * rng.normal(labels * 1.5, 1) + shift
    fitted = fit_platt(margins, labels)
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit((margins - shift)[:, None], labels)
    assert 1 / fitted.temperature == pytest.approx(float(oracle.coef_[0, 0]), rel=1e-4)
    assert fitted.offset + shift / fitted.temperature == pytest.approx(float(oracle.intercept_[0]), abs=1e-4)
    assert fitted.remark is None


def test_an_offset_mends_what_independence_of_findings_costs() -> None:
    rng = np.random.default_rng(1)
    logit_any = rng.normal(-0.5, 1.5, 20_000)
    labels = (rng.random(20_000) < expit(logit_any)).astype(int)
    margins = 2 * logit_any + 3
    fitted = fit_platt(margins, labels)
    assert (fitted.temperature, fitted.offset) == pytest.approx((2.0, -1.5), abs=0.1)
    calibrated = expit(margins / fitted.temperature + fitted.offset)
    assert expected_calibration_error(labels, calibrated) < 0.02
    assert expected_calibration_error(labels, expit(margins)) > 0.1


@pytest.mark.parametrize("direction", [-1.0, 0.0], ids=["worse-than-chance", "nothing"])
def test_a_network_that_learnt_nothing_comes_out_near_the_prevalence_and_says_so(direction: float) -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random(300) < 0.3).astype(int)
    margins = direction * rng.normal(labels, 0.5) + 7
    fitted = fit_platt(margins, labels)
    assert fitted.temperature == pytest.approx(20.0)
    assert fitted.remark is not None
    assert fitted.remark.startswith("the network's scores tell nothing of 300 calibrate films")
    assert expit(margins / 20 + fitted.offset) == pytest.approx(labels.mean(), abs=0.03)


def test_a_network_that_separates_all_films_says_so() -> None:
    labels = np.array([0, 1] * 30)
    fitted = fit_platt(labels * 2.0, labels)
    assert fitted.temperature == pytest.approx(0.05)
    assert fitted.remark is not None
    assert "or separate them entirely" in fitted.remark


def test_films_that_are_separated_widely_are_not_taken_for_calibrated() -> None:
    # The loss is nothing long before the temperature is on its bound, so that the search ends in between.
    labels = np.array([0, 1] * 20)
    fitted = fit_platt((labels * 2 - 1) * np.linspace(8.0, 12.0, 40), labels)
    assert 0.13 < fitted.temperature < 20
    assert fitted.remark is not None
    assert "or separate them entirely" in fitted.remark


def test_margins_too_large_for_any_temperature_are_not_said_to_come_out_near_the_prevalence() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 300)
    fitted = fit_platt(3000 * rng.normal(labels, 1), labels)
    assert fitted.temperature == pytest.approx(20.0)
    assert fitted.remark is not None
    assert "larger than any calibration can mend" in fitted.remark
    assert "not to be believed" in fitted.remark


def test_margins_that_hardly_differ_are_not_blown_up_to_probabilities_of_rounding() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 200)
    # An untrained network of fourteen findings, each at even odds: log(2^14 - 1).
    fitted = fit_platt(9.7 + 0.002 * rng.normal(labels, 1), labels)
    assert fitted.temperature == pytest.approx(0.097, abs=1e-3)
    assert fitted.remark is not None
    assert fitted.remark.startswith("the network's scores hardly differ among 200 calibrate films")
    assert fit_platt(np.full(200, 9.7), labels).temperature == pytest.approx(20.0)


def test_films_of_one_kind_and_margins_of_no_number_calibrate_nothing() -> None:
    with pytest.raises(DatasetError, match="all 5 calibrate films are healthy"):
        fit_platt(np.arange(5.0), np.zeros(5, dtype=np.int64))
    with pytest.raises(TrainingDiverged, match="no numbers"):
        fit_platt(np.array([0.0, np.nan]), np.array([0, 1]))
    for no_number in (np.nan, np.inf, -np.inf):
        with pytest.raises(TrainingDiverged, match="no numbers"):
            fit_temperature(np.array([0.0, 1.0, 2.0, no_number]), np.array([0, 1, 0, 1]))


@given(
    margins=st.lists(st.floats(-60, 60, width=32), min_size=2, max_size=40),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_slope_and_offset_never_change_the_rank(margins: list[float], seed: int) -> None:
    found, labels = np.sort(np.array(margins)), np.random.default_rng(seed).integers(0, 2, len(margins))
    labels[:2] = (1, 0)
    fitted = fit_platt(found, labels)
    assert 0.05 <= fitted.temperature <= 20
    assert np.isfinite(fitted.offset)
    assert (np.diff(found / fitted.temperature + fitted.offset) >= 0).all()


@given(
    seed=st.integers(0, 2**32 - 1),
    temperature=st.floats(0.2, 5.0),
    shift=st.floats(-3.0, 3.0),
)
@settings(max_examples=60, deadline=None)
def test_temperature_and_prior_shift_never_move_a_certified_decision(
    seed: int, temperature: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    positives, others = rng.normal(1, 2, 150).round(3), rng.normal(0, 2, 300).round(3)
    patients = rng.integers(0, 80, 150).astype(np.str_)

    def served(margins: np.ndarray) -> np.ndarray:
        return expit(margins / temperature + shift)

    for margin, probability in (
        (
            certified_threshold(positives, sensitivity=0.95, confidence=0.95).threshold,
            certified_threshold(served(positives), sensitivity=0.95, confidence=0.95).threshold,
        ),
        (
            expected_threshold(positives, patients, sensitivity=0.95).threshold,
            expected_threshold(served(positives), patients, sensitivity=0.95).threshold,
        ),
    ):
        for films in (positives, others):
            np.testing.assert_array_equal(films >= margin, served(films) >= probability)


def test_a_prior_shift_carries_calibration_to_another_prevalence() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(200_000) < 0.6).astype(int)
    margins = rng.normal(labels * 2 - 1.0, 1.0)
    calibrated = expit(2 * margins + logit(0.6))
    assert expected_calibration_error(labels, calibrated) < 0.01
    kept = (labels == 0) | (rng.random(len(labels)) < 1 / 13.5)
    site = float(labels[kept].mean())
    assert expected_calibration_error(labels[kept], calibrated[kept]) > 0.05
    moved = shifted(calibrated[kept], prior_shift(site, 0.6))
    assert expected_calibration_error(labels[kept], moved) < 0.01


def test_a_site_without_prevalence_shifts_nothing() -> None:
    assert prior_shift(None, 0.6) == 0.0
    assert prior_shift(0.6, 0.6) == pytest.approx(0.0)
    assert prior_shift(0.1, 0.6) < 0.0
    scores = np.array([0.0, 0.25, 1.0])
    np.testing.assert_array_equal(shifted(scores, 0.0), scores)
    np.testing.assert_allclose(shifted(shifted(scores, 1.5), -1.5), scores, atol=1e-6)


def test_calibrated_scores_have_little_calibration_error() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    labels = (rng.random(20_000) < scores).astype(int)
    assert expected_calibration_error(labels, scores) < 0.015
    assert expected_calibration_error(labels, np.clip(scores + 0.2, 0, 1)) > 0.1


def test_calibration_error_equals_that_of_torchmetrics_where_bins_agree() -> None:
    rng = np.random.default_rng(2)
    # Ten films in each tenth: bins of equal count are bins of equal width.
    scores = (np.arange(100) + 0.5) / 100
    labels = rng.integers(0, 2, 100)
    expected = float(binary_calibration_error(from_numpy(scores), from_numpy(labels), n_bins=10, norm="l1"))
    assert expected_calibration_error(labels, scores) == pytest.approx(expected, abs=1e-6)


def test_weighted_calibration_error_is_that_of_all_films_under_equal_weights() -> None:
    rng = np.random.default_rng(3)
    scores, labels = rng.random(300), rng.integers(0, 2, 300)
    found = weighted_calibration_error(labels, scores, np.ones((2, 300)))
    assert found == pytest.approx(np.full(2, expected_calibration_error(labels, scores)))


def test_reliability_bins_hold_every_film_once_in_order() -> None:
    rng = np.random.default_rng(4)
    scores, labels = rng.random(103), rng.integers(0, 2, 103)
    bins = reliability(labels, scores)
    assert [found.films for found in bins] == [11, 11, 11, 10, 10, 10, 10, 10, 10, 10]
    assert sum(found.unhealthy for found in bins) == labels.sum()
    assert all(before.high <= after.low for before, after in itertools.pairwise(bins))
    assert len(reliability(labels[:3], scores[:3])) == 3
    assert reliability(labels[:0], scores[:0]) == []


def test_losses_equal_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    scores, labels = rng.random(200), rng.integers(0, 2, 200)
    assert brier_score(labels, scores) == pytest.approx(sklearn_metrics.brier_score_loss(labels, scores))
    assert log_loss(labels, scores) == pytest.approx(sklearn_metrics.log_loss(labels, scores))
    assert np.isfinite(log_loss(np.array([1, 0]), np.array([0.0, 1.0])))


def test_no_films_have_no_losses() -> None:
    labels, scores = np.zeros(0, dtype=np.int64), np.zeros(0)
    assert (brier_score(labels, scores), log_loss(labels, scores), expected_calibration_error(labels, scores)) == (
        None,
        None,
        None,
    )
