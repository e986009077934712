"""From scores to probabilities: temperature, a site's prevalence, and how far a probability can be believed.

Pure mathematics on arrays. Nothing here changes the order of films, so nothing here moves a certified decision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from training.errors import TrainingDiverged
from training.statistics.metrics import Floats, Labels

_TEMPERATURE_BOUNDS = (0.05, 20.0)
# The bounded search stops a little short of a bound, so that nearness in logarithms stands for "on it".
_BOUND_MARGIN = 1e-3
# Probabilities of float32 graphs saturate at 0 and 1; their logits must stay finite.
_SATURATION = 1e-7


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Films of neighbouring probabilities: what was said of them on average, and how many are unhealthy."""

    low: float
    high: float
    mean_probability: float
    films: int
    unhealthy: int


def fit_temperature(margins: Floats, labels: Labels) -> float:
    """Return the temperature that minimises the log loss of ``sigmoid(margin / temperature)``.

    ``margins`` ``(n,)`` are logit differences. Dividing by a positive number keeps the order of films, so that it
    cannot move a threshold that is set by rank. Source: Guo et al., ICML 2017.

    Raises
    ------
    TrainingDiverged
        If the optimum lies on a bound of 0.05 to 20: the margins tell nothing, or separate these films entirely.
    """
    signs = np.where(labels == 1, 1.0, -1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -signs * margins / np.exp(log_temperature)).mean())

    low, high = np.log(_TEMPERATURE_BOUNDS)
    fitted = float(minimize_scalar(loss, bounds=(low, high), method="bounded").x)
    if not low + _BOUND_MARGIN < fitted < high - _BOUND_MARGIN:
        raise TrainingDiverged(
            f"the temperature is on its bound ({np.exp(fitted):.3g}): the network's scores cannot be calibrated on "
            f"{len(labels)} films, because they tell nothing or separate all of them"
        )
    return float(np.exp(fitted))


def prior_shift(site_prevalence: float | None, calibrate_prevalence: float) -> float:
    """Return what a site's share of unhealthy films adds to the calibrated logit; 0 without one.

    logit(pi_site) - logit(pi_calibrate): Bayes' rule where only the share differs, not the films of each class
    (Saerens et al., Neural Computation 2002). Both are shares between 0 and 1.
    """
    return 0.0 if site_prevalence is None else float(logit(site_prevalence) - logit(calibrate_prevalence))


def shifted(probabilities: Floats, shift: float) -> Floats:
    """Return probabilities ``(n,)`` whose logits are higher by ``shift``; ``-prior_shift`` undoes a graph's own."""
    if not shift:
        return probabilities
    return np.asarray(expit(logit(np.clip(probabilities, _SATURATION, 1 - _SATURATION)) + shift))


def reliability(labels: Labels, probabilities: Floats, bins: int = 10) -> list[ReliabilityBin]:
    """Return ``bins`` of equally many films in order of probability; fewer where there are fewer films."""
    order = np.argsort(probabilities, kind="stable")
    return [
        ReliabilityBin(
            low=float(probabilities[group[0]]),
            high=float(probabilities[group[-1]]),
            mean_probability=float(probabilities[group].mean()),
            films=len(group),
            unhealthy=int(labels[group].sum()),
        )
        for group in np.array_split(order, bins)
        if len(group)
    ]


def expected_calibration_error(labels: Labels, probabilities: Floats, bins: int = 10) -> float | None:
    """Return the mean gap between probability and observed share over bins of equally many films; ``None`` of none."""
    if not len(labels):
        return None
    gaps = [
        found.films * abs(found.unhealthy / found.films - found.mean_probability)
        for found in reliability(labels, probabilities, bins)
    ]
    return sum(gaps) / len(labels)


def weighted_calibration_error(labels: Labels, probabilities: Floats, weights: Floats, bins: int = 10) -> Floats:
    """Return the calibration error under each row of ``weights`` ``(b, n)`` as ``(b,)``, in the bins of all films."""
    gaps = np.zeros(len(weights))
    for group in np.array_split(np.argsort(probabilities, kind="stable"), bins):
        gaps += np.abs(weights[:, group] @ (labels[group] - probabilities[group]))
    with np.errstate(invalid="ignore"):
        return np.asarray(gaps / weights.sum(axis=1))


def log_loss(labels: Labels, probabilities: Floats) -> float | None:
    """Return the mean negative log likelihood, probabilities held off 0 and 1; ``None`` of no films."""
    if not len(labels):
        return None
    held = np.clip(probabilities, _SATURATION, 1 - _SATURATION)
    return float(-np.mean(np.where(labels == 1, np.log(held), np.log1p(-held))))


def brier_score(labels: Labels, probabilities: Floats) -> float | None:
    """Return the mean squared gap between probability and label; ``None`` of no films."""
    return float(np.mean((probabilities - labels) ** 2)) if len(labels) else None
