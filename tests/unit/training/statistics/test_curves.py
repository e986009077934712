"""Curves are those of scikit-learn, thinned; chosen thresholds come from calibrate films."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, fbeta_score, roc_auc_score

from tests.support.scored_films import invented_films
from training.statistics.curves import curves, roc_points
from training.statistics.intervals import Bootstrap
from training.statistics.metrics import confusion
from training.statistics.thresholds import cost_threshold, f_beta_threshold

TEST = invented_films(patients=400)
CALIBRATE = invented_films(seed=5, prefix="c")
CURVES = curves(TEST, CALIBRATE, Bootstrap(replicates=200, seed=1), shift=0.0)


def test_a_report_of_curves_is_json_and_short() -> None:
    text = json.dumps(CURVES, allow_nan=False)
    assert len(text) < 200_000
    assert all(len(CURVES[name]["threshold"]) <= 201 for name in ("roc", "precision_recall", "f3", "decision_cost"))


def test_the_roc_curve_runs_from_corner_to_corner_and_keeps_its_area() -> None:
    roc = CURVES["roc"]
    assert (roc["false_positive_rate"][0], roc["sensitivity"][0], roc["threshold"][0]) == (0, 0, None)
    assert (roc["false_positive_rate"][-1], roc["sensitivity"][-1]) == (1, 1)
    area = np.trapezoid(roc["sensitivity"], roc["false_positive_rate"])
    assert area == pytest.approx(roc_auc_score(TEST.labels, TEST.scores), abs=0.003)
    # At no false positive at all the curve rises straight up, and the band is that of its upper end.
    low, high, middle = (np.array(roc[name])[1:] for name in ("low", "high", "sensitivity"))
    assert ((low <= middle + 0.02) & (middle - 0.02 <= high)).all()


def test_each_baseline_has_a_roc_curve() -> None:
    assert CURVES["baselines"]["view_only"] == roc_points(TEST.labels, TEST.rivals["view_only"])


def test_the_precision_recall_curve_keeps_its_area() -> None:
    recall, precision = (np.array(CURVES["precision_recall"][name]) for name in ("recall", "precision"))
    assert (np.diff(recall) >= 0).all()
    area = np.sum(np.diff(np.r_[0, recall]) * precision)
    assert area == pytest.approx(average_precision_score(TEST.labels, TEST.scores), abs=0.01)


def test_every_point_of_the_f3_curve_is_the_f3_of_its_threshold() -> None:
    curve = CURVES["f3"]
    assert curve["f3"][0] == pytest.approx(curve["flag_everything"])
    for place in (0, 50, 120, -1):
        counts = confusion(TEST.labels, TEST.scores, curve["threshold"][place])
        assert curve["f3"][place] == pytest.approx(counts.f3)
        assert curve["skill"][place] == pytest.approx(counts.f3_skill)
        assert curve["low"][place] - 1e-9 <= curve["f3"][place] <= curve["high"][place] + 1e-9


def test_f_beta_is_measured_on_test_at_the_threshold_of_calibrate() -> None:
    for row in CURVES["f_beta"]:
        assert row["threshold"] == f_beta_threshold(CALIBRATE.labels, CALIBRATE.scores, beta_weight=row["beta"])
        expected = fbeta_score(TEST.labels, TEST.scores >= row["threshold"], beta=row["beta"])
        assert row["value"] == pytest.approx(expected)
        everything = fbeta_score(TEST.labels, np.ones(len(TEST.labels)), beta=row["beta"])
        assert row["flag_everything"] == pytest.approx(everything)


def test_histograms_hold_every_film() -> None:
    histogram = CURVES["histogram"]
    assert sum(histogram["unhealthy"]) == TEST.labels.sum()
    assert sum(histogram["healthy"]) == (TEST.labels == 0).sum()


def test_the_cost_explorer_counts_films_cleared_and_missed() -> None:
    cost = CURVES["decision_cost"]
    for place in (0, 80, -1):
        counts = confusion(TEST.labels, TEST.scores, cost["threshold"][place])
        per_film = 1000 / counts.films
        cleared = (counts.true_negatives + counts.false_negatives) * per_film
        assert cost["cleared_per_1000"][place] == pytest.approx(cleared)
        assert cost["missed_per_1000"][place] == pytest.approx(counts.false_negatives * per_film)


def test_a_cost_ratio_has_the_threshold_of_calibrate_and_its_cost_on_test() -> None:
    for row in CURVES["decision_cost"]["ratios"]:
        assert row["threshold"] == cost_threshold(CALIBRATE.labels, CALIBRATE.scores, ratio=row["ratio"])
        counts = confusion(TEST.labels, TEST.scores, row["threshold"])
        cost = 1000 * (row["ratio"] * counts.false_negatives + counts.false_positives) / counts.films
        assert row["cost_per_1000"] == pytest.approx(cost)
        assert row["cost_flag_everything_per_1000"] == pytest.approx(1000 * np.mean(TEST.labels == 0))


def test_the_line_of_calibrated_scores_moves_along_with_a_prior_shift() -> None:
    shifted = curves(TEST, CALIBRATE, Bootstrap(replicates=10, seed=1), shift=-1.5)
    for plain, moved in zip(CURVES["decision_cost"]["ratios"], shifted["decision_cost"]["ratios"], strict=True):
        assert plain["bayes_threshold"] == pytest.approx(1 / (1 + plain["ratio"]))
        assert moved["bayes_threshold"] == pytest.approx(expit(logit(plain["bayes_threshold"]) - 1.5))
