"""Figures equal the printed ones of report 002, and those of scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from torch import from_numpy
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_fbeta_score,
    binary_specificity,
)

from training.statistics.metrics import (
    Confusion,
    auc,
    average_precision,
    confusion,
    f_beta_flag_everything,
    f_beta_of_rates,
    stratified_auc,
    weighted_auc,
    weighted_average_precision,
    weighted_stratified_auc,
)

REPORT_002 = Confusion(true_negatives=7937, false_positives=4193, false_negatives=2936, true_positives=7358)
REPORT_002_ALL_UNHEALTHY = Confusion(true_negatives=0, false_positives=12130, false_negatives=0, true_positives=10294)


def drawn(seed: int = 0, films: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, films)
    # Rounded, so that there are ties within and between the classes.
    return labels, np.round(np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1), 2)


def test_report_002_has_the_printed_f3_and_accuracy() -> None:
    assert REPORT_002.f3 == pytest.approx(0.7062, abs=5e-5)
    assert REPORT_002.accuracy == pytest.approx(0.6821, abs=5e-5)
    assert REPORT_002_ALL_UNHEALTHY.accuracy == pytest.approx(0.4591, abs=5e-5)


def test_report_002_is_below_flagging_everything() -> None:
    assert REPORT_002_ALL_UNHEALTHY.f3 == pytest.approx(0.8946, abs=5e-5)
    assert REPORT_002.f3_flag_everything == pytest.approx(0.8946, abs=5e-5)
    assert REPORT_002_ALL_UNHEALTHY.f3_skill == pytest.approx(0)
    assert REPORT_002.f3_skill < -1.5


def test_the_closed_form_of_flagging_everything_holds() -> None:
    prevalence = 10294 / 22424
    assert REPORT_002.f3_flag_everything == pytest.approx(10 * prevalence / (1 + 9 * prevalence))


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_those_of_scikit_learn_and_torchmetrics(seed: int) -> None:
    labels, scores = drawn(seed)
    counts = confusion(labels, scores, 0.5)
    flagged = scores >= 0.5
    assert (
        counts.true_negatives,
        counts.false_positives,
        counts.false_negatives,
        counts.true_positives,
    ) == tuple(sklearn_metrics.confusion_matrix(labels, flagged).ravel())
    assert counts.f3 == pytest.approx(sklearn_metrics.fbeta_score(labels, flagged, beta=3))
    assert counts.f3 == pytest.approx(float(binary_fbeta_score(from_numpy(flagged * 1), from_numpy(labels), beta=3.0)))
    assert counts.sensitivity == pytest.approx(sklearn_metrics.recall_score(labels, flagged))
    assert counts.specificity == pytest.approx(sklearn_metrics.recall_score(labels, flagged, pos_label=0))
    assert counts.specificity == pytest.approx(float(binary_specificity(from_numpy(flagged * 1), from_numpy(labels))))
    assert counts.ppv == pytest.approx(sklearn_metrics.precision_score(labels, flagged))
    assert counts.npv == pytest.approx(sklearn_metrics.precision_score(labels, flagged, pos_label=0))
    assert auc(labels, scores) == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(sklearn_metrics.average_precision_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(
        float(binary_average_precision(from_numpy(scores), from_numpy(labels))), abs=1e-6
    )
    assert auc(labels, scores) == pytest.approx(float(binary_auroc(from_numpy(scores), from_numpy(labels))), abs=1e-6)


def test_weighted_figures_equal_those_of_repeated_films() -> None:
    labels, scores = drawn()
    strata = np.random.default_rng(2).choice(["AP", "PA"], len(labels))
    weights = np.random.default_rng(1).integers(0, 4, (3, len(labels))).astype(float)
    for row, counts in enumerate(weights.astype(int)):
        repeated = np.repeat(labels, counts), np.repeat(scores, counts)
        one = weights[row : row + 1]
        assert weighted_auc(labels, scores, one)[0] == pytest.approx(sklearn_metrics.roc_auc_score(*repeated))
        assert weighted_average_precision(labels, scores, one)[0] == pytest.approx(
            sklearn_metrics.average_precision_score(*repeated)
        )
        assert weighted_stratified_auc(labels, scores, strata, one)[0] == pytest.approx(
            stratified_auc(*repeated, np.repeat(strata, counts))
        )


def test_one_class_has_no_auc_and_no_ratio() -> None:
    labels, scores = np.ones(4, dtype=np.int64), np.linspace(0, 1, 4)
    assert auc(labels, scores) is None
    assert average_precision(1 - labels, scores) is None
    assert confusion(labels, scores, 0.5).specificity is None
    assert confusion(labels, scores, 0.0).npv is None
    assert np.isnan(weighted_auc(labels, scores, np.ones((1, 4)))).all()


def test_no_films_have_no_figures_and_break_nothing() -> None:
    labels, scores = np.zeros(0, dtype=np.int64), np.zeros(0)
    assert auc(labels, scores) is None
    assert average_precision(labels, scores) is None
    assert stratified_auc(labels, scores, np.zeros(0, dtype=np.str_)) is None
    assert confusion(labels, scores, 0.5).accuracy is None


@pytest.mark.parametrize("seed", range(3))
def test_f3_from_rates_equals_f3_from_counts(seed: int) -> None:
    labels, scores = drawn(seed)
    counts = confusion(labels, scores, 0.5)
    prevalence = float(labels.mean())
    assert f_beta_of_rates(counts.sensitivity, 1 - counts.specificity, prevalence) == pytest.approx(counts.f3)
    assert f_beta_flag_everything(prevalence) == pytest.approx(counts.f3_flag_everything)
    assert f_beta_of_rates(counts.sensitivity, 1 - counts.specificity, prevalence, 1.0) == pytest.approx(
        sklearn_metrics.f1_score(labels, scores >= 0.5)
    )


@pytest.mark.parametrize(("prevalence", "f3"), [(0.05, 0.345), (0.10, 0.526), (0.25, 0.769), (0.459, 0.8946)])
def test_flagging_everything_has_the_f3_of_the_fact_book(prevalence: float, f3: float) -> None:
    assert f_beta_flag_everything(prevalence) == pytest.approx(f3, abs=5e-4)


def test_a_score_that_only_knows_the_view_has_no_view_adjusted_auc() -> None:
    rng = np.random.default_rng(0)
    views = rng.choice(["AP", "PA"], 2000)
    labels = (rng.random(2000) < np.where(views == "AP", 0.7, 0.3)).astype(int)
    scores = (views == "AP") * 1.0
    assert auc(labels, scores) > 0.65
    assert stratified_auc(labels, scores, views) == pytest.approx(0.5)
