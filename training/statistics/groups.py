"""Figures of one group of films at each operating point, with intervals: all test films, a view, a sex, an age band."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.statistics.figures import figure, missing, proportion, too_few
from training.statistics.intervals import Bootstrap, miss_bound
from training.statistics.metrics import (
    BETA,
    Flags,
    Floats,
    Labels,
    auc,
    count_flags,
    f_beta_flag_everything,
    weighted_auc,
)
from training.statistics.scored_films import UNKNOWN, ScoredFilms
from training.statistics.thresholds import one_film_per_patient

Points = Mapping[str, Flags]

_AGE_BANDS = ((0, 18, "0-17"), (18, 40, "18-39"), (40, 60, "40-59"), (60, 80, "60-79"), (80, 121, "80+"))


def describe(
    films: ScoredFilms, thresholds: Mapping[str, float], bootstrap: Bootstrap, *, confidence: float
) -> dict[str, Any]:
    """Return counts, AUC, and figures at each named threshold; figures of too few patients are notes.

    Defined for no films at all: then every count is 0 and every figure a note. ``confidence`` is that of the one-sided
    bound of the miss rate.
    """
    labels, flags = films.labels, {name: films.scores >= threshold for name, threshold in thresholds.items()}
    draws = bootstrap.draws(
        films.patients,
        lambda weights: {
            "auc": weighted_auc(labels, films.scores, weights),
            **flag_statistics(labels, flags, weights),
        },
    )
    points = point_figures(labels, films.patients, flags, draws)
    singles = one_film_per_patient(films.patients, labels == 1, bootstrap.seed)
    for name, threshold in thresholds.items():
        misses = int(np.sum(~flags[name][singles]))
        points[name] |= {"threshold": threshold, "miss_bound": _miss_bound(misses, len(singles), confidence)}
    return {**counts(films), "auc": _auc(films, draws["auc"]), "operating_points": points}


def counts(films: ScoredFilms) -> dict[str, Any]:
    """Return how many films, patients, unhealthy and healthy ones there are."""
    count, unhealthy = len(films.labels), int(films.labels.sum())
    return {
        "films": count,
        "patients": len(np.unique(films.patients)),
        "unhealthy": unhealthy,
        "healthy": count - unhealthy,
        "prevalence": unhealthy / count if count else None,
    }


def flag_statistics(labels: Labels, flags: Points, weights: Floats) -> dict[str, Floats]:
    """Return each ratio of each operating point under each row of ``weights`` ``(b, n)``, as ``"ratio point"``."""
    unhealthy = (labels == 1).astype(np.float64)
    flagged = np.array(list(flags.values()), dtype=np.float64).reshape(len(flags), len(labels)).T
    positives, negatives = weights @ unhealthy, weights @ (1 - unhealthy)
    caught, needless = weights @ (flagged * unhealthy[:, None]), weights @ (flagged * (1 - unhealthy)[:, None])
    found: dict[str, Floats] = {}
    for place, name in enumerate(flags):
        tp, fp = caught[:, place], needless[:, place]
        fn, tn = positives - tp, negatives - fp
        with np.errstate(invalid="ignore", divide="ignore"):
            f3 = (1 + BETA**2) * tp / ((1 + BETA**2) * tp + BETA**2 * fn + fp)
            everything = (1 + BETA**2) * (tp + fn) / ((1 + BETA**2) * (tp + fn) + tn + fp)
            ratios = {
                "sensitivity": tp / (tp + fn),
                "specificity": tn / (tn + fp),
                "ppv": tp / (tp + fp),
                "npv": tn / (tn + fn),
                "accuracy": (tp + tn) / (tp + fn + tn + fp),
                "f3": f3,
                "f3_skill": (f3 - everything) / (1 - everything),
            }
        found |= {f"{ratio} {name}": values for ratio, values in ratios.items()}
    return found


def point_figures(
    labels: Labels, patients: NDArray[np.str_], flags: Points, draws: Mapping[str, Floats]
) -> dict[str, dict[str, Any]]:
    """Return the figures of each operating point; ``draws`` are ``flag_statistics`` under the bootstrap."""
    return {name: _point(labels, patients, flagged, name, draws) for name, flagged in flags.items()}


def _point(
    labels: Labels, patients: NDArray[np.str_], flagged: Flags, name: str, draws: Mapping[str, Floats]
) -> dict[str, Any]:
    unhealthy = labels == 1
    everyone = np.ones(len(labels), dtype=np.bool_)
    ratios = {
        "sensitivity": (flagged, unhealthy, "unhealthy"),
        "specificity": (~flagged, ~unhealthy, "healthy"),
        "ppv": (unhealthy, flagged, "flagged"),
        "npv": (~unhealthy, ~flagged, "not flagged"),
        "accuracy": (flagged == unhealthy, everyone, "counted"),
    }
    counted = count_flags(labels, flagged)
    note = too_few(patients, {"unhealthy": unhealthy, "healthy": ~unhealthy})
    scores = {"f3": counted.f3, "f3_skill": counted.f3_skill}
    return {
        "confusion": asdict(counted),
        **{
            ratio: proportion(part, whole, draws[f"{ratio} {name}"], note=too_few(patients, {called: whole}))
            for ratio, (part, whole, called) in ratios.items()
        },
        **{
            ratio: missing(note) if note is not None else figure(value, draws[f"{ratio} {name}"])
            for ratio, value in scores.items()
        },
        "f3_flag_everything": f_beta_flag_everything(float(unhealthy.mean())) if unhealthy.any() else None,
        "flagged_share": float(flagged.mean()) if len(flagged) else None,
    }


def subgroups(films: ScoredFilms) -> Iterator[tuple[str, str, ScoredFilms]]:
    """Yield attribute, group and its films: views, sexes, age bands; groups without a film are left out."""
    for attribute, values in (("view", films.views), ("sex", films.facts.sexes), ("age", age_bands(films.facts.ages))):
        for group in np.unique(values).tolist():
            yield attribute, group, films.where(values == group)


def age_bands(ages: Floats) -> NDArray[np.str_]:
    """Return the band of each age in years ``(n,)``; ``unknown`` for none and for ages that cannot be."""
    bands = np.full(len(ages), UNKNOWN, dtype="<U7")
    for low, end, name in _AGE_BANDS:
        bands[(ages >= low) & (ages < end)] = name
    return bands


def _auc(films: ScoredFilms, draws: Floats) -> dict[str, Any]:
    note = too_few(films.patients, {"unhealthy": films.labels == 1, "healthy": films.labels == 0})
    return missing(note) if note is not None else figure(auc(films.labels, films.scores), draws)


def _miss_bound(misses: int, positives: int, confidence: float) -> dict[str, Any] | None:
    if not positives:
        return None
    return {
        "positives": positives,
        "misses": misses,
        "confidence": confidence,
        "bound": miss_bound(misses, positives, confidence),
    }
