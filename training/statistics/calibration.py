"""From scores to probabilities: temperature, offset, a site's prevalence, and how far a probability can be believed.

Pure mathematics on arrays. Nothing here changes the order of films, so nothing here moves a certified decision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit

from training.errors import DatasetError, TrainingDiverged
from training.statistics.metrics import Floats, Labels

_TEMPERATURE_BOUNDS = (0.05, 20.0)
# The bounded search stops a little short of a bound, so that nearness in logarithms stands for "on it".
_BOUND_MARGIN = 1e-3
# A margin of float32 is known to 6e-8 of itself. Divided by no less than this part of the largest one, that moves no
# probability by more than 2e-6; margins that hardly differ would else turn rounding into probabilities.
_LEAST_TEMPERATURE = 0.01
# Served logits with a standard deviation of no more than this say little more than their mean.
_LITTLE_LOGIT = 0.5
# Probabilities of float32 graphs saturate at 0 and 1; their logits must stay finite.
_SATURATION = 1e-7


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The calibrated logit is ``margin / temperature + offset``; ``temperature`` is above 0.

    ``remark`` says so where the films could not tell the temperature, so that it was held on a bound.
    """

    temperature: float
    offset: float = 0.0
    remark: str | None = None


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
        If a margin is no finite number, or the optimum lies on a bound of 0.05 to 20: the margins tell nothing, or
        separate these films entirely.
    """
    _require_finite(margins)
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


def fit_platt(margins: Floats, labels: Labels) -> Calibration:
    """Return temperature and offset with the least log loss; the temperature keeps to bounds.

    For margins that were never fitted to *any finding* (``any_of_findings``): findings taken as independent add up to
    another prevalence than these films have, which no temperature can mend. The slope 1 / temperature stays positive,
    so that the order of films is kept also where the network tells nothing or less: then every probability comes out
    near the share of unhealthy films, and the remark says so. It also says so where films are separated entirely, which
    no temperature fits best. Source: Platt, 1999, with the plain labels as targets.

    Raises
    ------
    TrainingDiverged
        If a margin is no finite number.
    DatasetError
        If the films are all healthy or all unhealthy.
    """
    _require_finite(margins)
    if labels.min() == labels.max():
        kind = "unhealthy" if labels.max() else "healthy"
        raise DatasetError(f"all {len(labels)} calibrate films are {kind}: no probability can be calibrated on them")
    low, high = _TEMPERATURE_BOUNDS
    low = min(max(low, _LEAST_TEMPERATURE * float(np.abs(margins).max())), high)
    centre, spread = float(margins.mean()), float(margins.std())
    if not np.ptp(margins):
        # Without a slope to fit, nothing is made of what the margins say.
        level, temperature = float(logit(labels.mean())), high
    else:
        slope, level = _logistic_line((margins - centre) / spread, labels, (spread / high, spread / low))
        temperature = float(np.clip(spread / slope, low, high))
    return Calibration(
        temperature=temperature,
        offset=level - centre / temperature,
        remark=_remark(temperature, (low, high), margins, labels),
    )


def _require_finite(margins: Floats) -> None:
    if not np.isfinite(margins).all():
        raise TrainingDiverged("the network answers calibrate films with margins that are no numbers")


def _logistic_line(standard: Floats, labels: Labels, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return slope, within ``bounds``, and level of the logits that fit labels best; the loss is convex in both."""
    signs = np.where(labels == 1, 1.0, -1.0)

    def loss_and_gradient(line: Floats) -> tuple[float, Floats]:
        logits = line[0] * standard + line[1]
        pull = -signs * expit(-signs * logits) / len(labels)
        return float(np.logaddexp(0.0, -signs * logits).mean()), np.array([pull @ standard, pull.sum()])

    slope, level = minimize(
        loss_and_gradient,
        x0=[min(max(1.0, bounds[0]), bounds[1]), float(logit(labels.mean()))],
        jac=True,
        method="L-BFGS-B",
        bounds=[bounds, (None, None)],
        options={"ftol": 1e-14, "gtol": 1e-9},
    ).x
    return float(slope), float(level)


def _remark(temperature: float, bounds: tuple[float, float], margins: Floats, labels: Labels) -> str | None:
    """Return why the films could not tell the temperature, ``None`` where they could."""
    low, high = np.log(bounds)
    held = f"the temperature is held at {temperature:.3g}, and probabilities"
    if np.log(temperature) >= high - _BOUND_MARGIN:
        if float(margins.std()) / temperature > _LITTLE_LOGIT:
            return (
                f"the network's scores of {len(labels)} calibrate films are larger than any calibration can mend: "
                f"{held} are not to be believed"
            )
        return (
            f"the network's scores tell nothing of {len(labels)} calibrate films, or the contrary: {held} say little "
            f"more than the share of unhealthy films"
        )
    # Of films that are separated no temperature is the best: the search ends wherever the loss is too small to follow.
    is_separated = margins[labels == 1].min() > margins[labels == 0].max()
    if is_separated or np.log(temperature) <= low + _BOUND_MARGIN:
        return (
            f"the network's scores hardly differ among {len(labels)} calibrate films, or separate them entirely: "
            f"{held} are not to be believed"
        )
    return None


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
