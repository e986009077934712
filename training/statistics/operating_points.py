"""Operating points of one graph, each a threshold with the evidence for it, as ``operating_points.json`` holds them.

A point that cannot keep its promise with the films at hand flags everything and says so; it is never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from model.manifest import Certificate
from training.errors import RecallFloorUnreachable
from training.recipe import F3_POINT, ThresholdRecipe, certified_name, cost_name, expected_name
from training.statistics.calibration import shifted
from training.statistics.metrics import Floats, confusion
from training.statistics.scored_films import FilmFacts, ScoredFilms
from training.statistics.thresholds import (
    FLAG_EVERYTHING,
    certified_threshold,
    cost_threshold,
    expected_threshold,
    f_beta_threshold,
    one_film_per_patient,
)
from training.statistics.tolerances import HIGHEST_THRESHOLD

_IN_VAIN = "so it flags everything"
_AT_PREVALENCE = "at their share of unhealthy films"
_NO_PATIENTS = "; their patients are unknown, films were taken as independent"


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What points of one graph are made on, beside its scores.

    Attributes
    ----------
    seed
        Draws the one film a patient that certificates rest on.
    shift
        The graph's prior shift: alarms compare with the probability before it.
    margin
        By how much a certified threshold is lowered: a graph in eight bits answers a little differently on other
        processors, and what they may differ must not turn a certified flag into a miss.
    patients_known
        Whether films name their patients; if not, each film passes for a patient, and certificates say so.
    """

    seed: int
    shift: float
    margin: float
    patients_known: bool
    today: date


def operating_points(
    films: FilmFacts, scores: Floats, recipe: ThresholdRecipe, grounds: Grounds
) -> list[dict[str, Any]]:
    """Return the points that ``recipe`` names, in its order, for one graph's scores ``(n,)`` of calibrate films."""
    unhealthy = films.labels == 1
    singles = scores[one_film_per_patient(films.patients, unhealthy, grounds.seed)]
    return [
        _f3_point(films, scores, grounds.shift),
        *(_certified_point(singles, sensitivity, recipe.confidence, grounds) for sensitivity in recipe.certified),
        *(_expected_point(films, scores, sensitivity, grounds) for sensitivity in recipe.expected),
        *(_cost_point(films, scores, ratio, grounds.shift) for ratio in recipe.costs),
    ]


def undated(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points without the day on which they were certified: equal if they were made of the same scores."""
    return [
        point if (given := point["certificate"]) is None else point | {"certificate": given | {"certified_on": None}}
        for point in points
    ]


def calibrate_counts(films: ScoredFilms) -> dict[str, Any]:
    """Return how many calibrate films and patients there are."""
    unhealthy = films.labels == 1
    return {
        "films": len(films.labels),
        "unhealthy": int(unhealthy.sum()),
        "patients": len(np.unique(films.patients)),
        "unhealthy_patients": len(np.unique(films.patients[unhealthy])),
        "prevalence": float(unhealthy.mean()),
    }


def _f3_point(films: FilmFacts, scores: Floats, shift: float) -> dict[str, Any]:
    threshold = f_beta_threshold(films.labels, scores)
    best = confusion(films.labels, scores, threshold).f3
    assert best is not None
    found = f"highest F3 ({best:.4f}) on {len(scores)} calibrate films, {_AT_PREVALENCE}"
    if threshold == FLAG_EVERYTHING:
        found += f", where nothing beats flagging everything, {_IN_VAIN}"
    # Of calibrated probabilities the optimum lies at a tenth of its own F3 (ML.md §A5).
    return _point(F3_POINT, threshold, found, alarm=_alarm(threshold, best / 10, scores, shift))


def _certified_point(singles: Floats, sensitivity: float, confidence: float, grounds: Grounds) -> dict[str, Any]:
    name = certified_name(sensitivity)
    try:
        found = certified_threshold(singles, sensitivity=sensitivity, confidence=confidence)
    except RecallFloorUnreachable as error:
        return _point(name, FLAG_EVERYTHING, f"{error}, {_IN_VAIN}")
    threshold = max(found.threshold - grounds.margin, FLAG_EVERYTHING)
    if threshold == FLAG_EVERYTHING:
        why = f"the certified threshold lies within {grounds.margin:g} of 0, which processors may differ by"
        return _point(name, FLAG_EVERYTHING, f"{why}, {_IN_VAIN}")
    certificate = Certificate(
        positives=found.positives,
        misses=found.misses,
        miss_bound=found.miss_bound,
        alpha=round(1 - sensitivity, 12),
        delta=round(1 - confidence, 12),
        certified_on=grounds.today,
    )
    counted = "patients, one unhealthy film each" if grounds.patients_known else "unhealthy films"
    # Films that share the threshold's probability are flagged: fewer then lie below than the bound allows for.
    is_shared = int(np.sum(singles < found.threshold)) < found.misses
    evidence = (
        f"certified on {found.positives} calibrate {counted}, as scored by onnxruntime on the CPU, "
        f"{'fewer than ' if is_shared else ''}{found.misses} below the threshold: sensitivity at least "
        f"{1 - found.miss_bound:.4f} with confidence {confidence:g}"
    )
    if grounds.margin:
        evidence += f"; then lowered by {grounds.margin:g}, which processors may differ by"
    return _point(name, threshold, evidence + ("" if grounds.patients_known else _NO_PATIENTS), certificate=certificate)


def _expected_point(films: FilmFacts, scores: Floats, sensitivity: float, grounds: Grounds) -> dict[str, Any]:
    name, unhealthy = expected_name(sensitivity), films.labels == 1
    try:
        found = expected_threshold(scores[unhealthy], films.patients[unhealthy], sensitivity=sensitivity)
    except RecallFloorUnreachable as error:
        return _point(name, FLAG_EVERYTHING, f"{error}, {_IN_VAIN}")
    counted = "patients with unhealthy films" if grounds.patients_known else "unhealthy films"
    evidence = (
        f"conformal risk control on {found.patients} calibrate {counted}, {found.miss_share:.4f} "
        f"of them below the threshold: sensitivity {sensitivity:g} on average over calibrations, no bound for this one"
    )
    return _point(name, found.threshold, evidence + ("" if grounds.patients_known else _NO_PATIENTS))


def _cost_point(films: FilmFacts, scores: Floats, ratio: float, shift: float) -> dict[str, Any]:
    threshold = cost_threshold(films.labels, scores, ratio=ratio)
    found = (
        f"least cost on {len(scores)} calibrate films, {_AT_PREVALENCE}, where a miss costs {ratio:g} needless reads"
    )
    if threshold == FLAG_EVERYTHING:
        found += f"; nothing is cheaper than flagging everything, {_IN_VAIN}"
    return _point(cost_name(ratio), threshold, found, alarm=_alarm(threshold, 1 / (1 + ratio), scores, shift))


def _alarm(threshold: float, bayes_threshold: float, scores: Floats, shift: float) -> dict[str, Any]:
    """Return how far the chosen threshold lies from the one that calibrated probabilities would choose.

    Where everything is flagged, any threshold up to the lowest score does the same; the nearest of them counts.
    """
    chosen, lowest = (float(shifted(np.array([value]), -shift)[0]) for value in (threshold, scores.min()))
    if threshold == FLAG_EVERYTHING:
        chosen = min(lowest, bayes_threshold)
    return {"bayes_threshold": bayes_threshold, "gap": abs(chosen - bayes_threshold)}


def _point(
    name: str,
    threshold: float,
    evidence: str,
    *,
    certificate: Certificate | None = None,
    alarm: dict[str, Any] | None = None,
) -> dict[str, Any]:
    if alarm is not None:
        evidence += f"; calibrated probabilities would choose {alarm['bayes_threshold']:.4f}, {alarm['gap']:.4f} away"
    if threshold > HIGHEST_THRESHOLD:
        threshold = HIGHEST_THRESHOLD
        evidence += f"; lowered to {HIGHEST_THRESHOLD:g}, because processors differ where probabilities saturate"
    return {
        "name": name,
        "threshold": threshold,
        "evidence": evidence,
        "flags_everything": threshold == FLAG_EVERYTHING,
        "certificate": None if certificate is None else certificate.model_dump(mode="json"),
        "alarm": alarm,
    }
