"""What is drawn: how figures move with the threshold. Points are thinned, so that a report stays readable.

Curves are measured on test films; thresholds that are chosen (for a beta, for a cost) come from calibrate films.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from training.statistics.calibration import shifted
from training.statistics.intervals import Bootstrap
from training.statistics.metrics import BETA, Floats, Labels, f_beta_flag_everything, f_beta_of_rates
from training.statistics.scored_films import ScoredFilms
from training.statistics.thresholds import cost_threshold, f_beta_threshold

_POINTS = 200
_BETAS = (0.5, 1.0, 2.0, 3.0, 5.0)
_RATIOS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100)
_HISTOGRAM_BINS = 20
# Fourteen curves lie in one picture: finer ones could not be told apart, and would double the report.
_FINDING_POINTS = 60


def curves(test: ScoredFilms, calibrate: ScoredFilms, bootstrap: Bootstrap, *, shift: float) -> dict[str, Any]:
    """Return ROC, precision-recall, F3 and F-beta curves, score histograms and the decision-cost explorer.

    Both sets hold films of both classes. ``shift`` is the graph's prior shift, which the threshold that calibrated
    probabilities would choose moves along with.
    """
    thresholds = _thinned(np.unique(np.r_[0.0, test.scores]))
    bands = bootstrap.draws(test.patients, lambda weights: _curve_statistics(test, thresholds, weights))
    return {
        "roc": {**roc_points(test.labels, test.scores), **_roc_band(test, bands)},
        "baselines": {name: roc_points(test.labels, scores) for name, scores in test.rivals.items()},
        "findings": _finding_curves(test),
        "precision_recall": _precision_recall(test.labels, test.scores),
        "f3": _f3_curve(test, thresholds, bands["f3"]),
        "f_beta": [_best_f_beta(test, calibrate, beta_weight) for beta_weight in _BETAS],
        "histogram": _histogram(test.labels, test.scores),
        "decision_cost": _decision_cost(test, calibrate, thresholds, shift),
    }


def roc_points(labels: Labels, scores: Floats, *, at_most: int = _POINTS) -> dict[str, list[float | None]]:
    """Return ``at_most`` points of the ROC curve, (0, 0) first and (1, 1) last; no threshold flags nothing."""
    false_positive_rate, sensitivity, threshold = roc_curve(labels, scores, drop_intermediate=True)
    chosen = _thin(len(threshold), at_most)
    return {
        "threshold": [float(value) if np.isfinite(value) else None for value in threshold[chosen]],
        "false_positive_rate": false_positive_rate[chosen].tolist(),
        "sensitivity": sensitivity[chosen].tolist(),
    }


def _finding_curves(test: ScoredFilms) -> dict[str, dict[str, list[float | None]]]:
    """Return the ROC points of each finding that some but not all films carry; the others have no curve."""
    found = {}
    for name, truth in test.truths.items():
        if 0 < truth.sum() < len(truth):
            points = roc_points(truth, test.finding_scores[name], at_most=_FINDING_POINTS)
            found[name] = {axis: points[axis] for axis in ("false_positive_rate", "sensitivity")}
    return found


def _precision_recall(labels: Labels, scores: Floats) -> dict[str, list[float]]:
    precision, recall, threshold = precision_recall_curve(labels, scores, drop_intermediate=True)
    # scikit-learn's last point (precision 1 at recall 0) belongs to no threshold.
    precision, recall = precision[:-1][::-1], recall[:-1][::-1]
    chosen = _thin(len(threshold))
    return {
        "threshold": threshold[::-1][chosen].tolist(),
        "recall": recall[chosen].tolist(),
        "precision": precision[chosen].tolist(),
    }


def _roc_band(test: ScoredFilms, bands: dict[str, Floats]) -> dict[str, list[float]]:
    points = roc_points(test.labels, test.scores)
    grid = np.array(points["false_positive_rate"])
    drawn = [
        np.interp(grid, false_positives[::-1], caught[::-1])
        for false_positives, caught in zip(bands["false_positive_rate"], bands["sensitivity"], strict=True)
    ]
    return _band(np.array(drawn))


def _curve_statistics(test: ScoredFilms, thresholds: Floats, weights: Floats) -> dict[str, Floats]:
    """Return sensitivity, false-positive rate and F3 at each threshold under each row of weights, ``(b, m)``."""
    unhealthy = test.labels == 1
    flagged = (test.scores[:, None] >= thresholds[None, :]).astype(np.float64)
    positives, negatives = weights[:, unhealthy], weights[:, ~unhealthy]
    caught, needless = positives @ flagged[unhealthy], negatives @ flagged[~unhealthy]
    all_positives = positives.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "sensitivity": caught / all_positives,
            "false_positive_rate": needless / negatives.sum(axis=1, keepdims=True),
            "f3": (1 + BETA**2) * caught / (caught + needless + BETA**2 * all_positives),
        }


def _f3_curve(test: ScoredFilms, thresholds: Floats, drawn: Floats) -> dict[str, Any]:
    prevalence = float(test.labels.mean())
    everything = f_beta_flag_everything(prevalence)
    values = f_beta_of_rates(*_rates(test, thresholds), prevalence)
    return {
        "threshold": thresholds.tolist(),
        "f3": values.tolist(),
        "skill": ((values - everything) / (1 - everything)).tolist(),
        "flag_everything": everything,
        **_band(drawn),
    }


def _best_f_beta(test: ScoredFilms, calibrate: ScoredFilms, beta_weight: float) -> dict[str, float]:
    prevalence = float(test.labels.mean())
    threshold = f_beta_threshold(calibrate.labels, calibrate.scores, beta_weight=beta_weight)
    caught, needless = _rates(test, np.array([threshold]))
    value = float(f_beta_of_rates(caught, needless, prevalence, beta_weight)[0])
    everything = f_beta_flag_everything(prevalence, beta_weight)
    return {
        "beta": beta_weight,
        "threshold": threshold,
        "value": value,
        "flag_everything": everything,
        "skill": (value - everything) / (1 - everything),
    }


def _histogram(labels: Labels, scores: Floats) -> dict[str, Any]:
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    return {
        "edges": edges.tolist(),
        "healthy": np.histogram(scores[labels == 0], edges)[0].tolist(),
        "unhealthy": np.histogram(scores[labels == 1], edges)[0].tolist(),
    }


def _decision_cost(test: ScoredFilms, calibrate: ScoredFilms, thresholds: Floats, shift: float) -> dict[str, Any]:
    cleared, missed = _cleared_and_missed(test, thresholds)
    return {
        "threshold": thresholds.tolist(),
        "cleared_per_1000": cleared.tolist(),
        "missed_per_1000": missed.tolist(),
        "ratios": [_at_ratio(test, calibrate, ratio, shift) for ratio in _RATIOS],
    }


def _at_ratio(test: ScoredFilms, calibrate: ScoredFilms, ratio: int, shift: float) -> dict[str, float]:
    threshold = cost_threshold(calibrate.labels, calibrate.scores, ratio=ratio)
    cleared, missed = (float(values[0]) for values in _cleared_and_missed(test, np.array([threshold])))
    healthy = 1000 * float(np.mean(test.labels == 0))
    cost = ratio * missed + healthy - (cleared - missed)
    return {
        "ratio": ratio,
        "threshold": threshold,
        "bayes_threshold": float(shifted(np.array([1 / (1 + ratio)]), shift)[0]),
        "cleared_per_1000": cleared,
        "missed_per_1000": missed,
        "cost_per_1000": cost,
        "cost_flag_everything_per_1000": healthy,
        "saved_share": 1 - cost / healthy,
    }


def _cleared_and_missed(test: ScoredFilms, thresholds: Floats) -> tuple[Floats, Floats]:
    caught, needless = _rates(test, thresholds)
    prevalence = float(test.labels.mean())
    missed = 1000 * prevalence * (1 - caught)
    return missed + 1000 * (1 - prevalence) * (1 - needless), missed


def _rates(test: ScoredFilms, thresholds: Floats) -> tuple[Floats, Floats]:
    """Return sensitivity and false-positive rate at each threshold ``(m,)``."""
    unhealthy = np.sort(test.scores[test.labels == 1])
    healthy = np.sort(test.scores[test.labels == 0])
    caught = 1 - np.searchsorted(unhealthy, thresholds, side="left") / len(unhealthy)
    return caught, 1 - np.searchsorted(healthy, thresholds, side="left") / len(healthy)


def _band(drawn: Floats) -> dict[str, list[float]]:
    low, high = np.nanquantile(drawn, (0.025, 0.975), axis=0)
    return {"low": low.tolist(), "high": high.tolist()}


def _thin(count: int, at_most: int = _POINTS) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(np.intp))


def _thinned(values: Floats) -> Floats:
    return values[_thin(len(values))]
