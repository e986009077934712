"""Against what the network is held: baselines on the same films, other variants of itself, its own certificates.

Every comparison is paired: the same draw of patients for both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.statistics.figures import Figure, figure, missing, too_few
from training.statistics.groups import flag_statistics, point_figures
from training.statistics.intervals import Bootstrap, miss_rate_p_value
from training.statistics.metrics import Floats, auc, stratified_auc, weighted_auc, weighted_stratified_auc
from training.statistics.scored_films import ScoredFilms
from training.statistics.thresholds import FLAG_EVERYTHING, one_film_per_patient

Strata: TypeAlias = NDArray[np.str_]

# At this chance or less a certificate counts as broken; 1 in 100 sound ones would be.
REJECTED_AT = 0.01


def compare(films: ScoredFilms, rival: Floats, bootstrap: Bootstrap, *, strata: Strata | None = None) -> dict[str, Any]:
    """Return the rival's AUC ``(n,)`` scores on the same films, and the paired differences, ours minus theirs.

    With ``strata`` ``(n,)`` only films of the same stratum are compared (folds, whose scores share no scale). The
    view-adjusted figures compare films of the same view and stratum. Too few patients of a class give notes.
    """
    note = too_few(films.patients, {"unhealthy": films.labels == 1, "healthy": films.labels == 0})
    strata = np.zeros(len(films.labels), dtype="<U1") if strata is None else strata
    theirs, ahead = _paired(films, rival, strata, bootstrap)
    theirs_within, ahead_within = _paired(films, rival, np.char.add(strata, films.views), bootstrap)
    found = {
        "auc": theirs,
        "view_adjusted_auc": theirs_within,
        "network_ahead_by": ahead,
        "network_ahead_view_adjusted_by": ahead_within,
    }
    return found if note is None else dict.fromkeys(found, missing(note))


def _paired(films: ScoredFilms, rival: Floats, strata: Strata, bootstrap: Bootstrap) -> tuple[Figure, Figure]:
    labels, ours = films.labels, films.scores
    draws = bootstrap.draws(
        films.patients,
        lambda weights: {
            "ours": weighted_stratified_auc(labels, ours, strata, weights),
            "theirs": weighted_stratified_auc(labels, rival, strata, weights),
        },
    )
    mine, its = stratified_auc(labels, ours, strata), stratified_auc(labels, rival, strata)
    return figure(its, draws["theirs"]), figure(_minus(mine, its), draws["ours"] - draws["theirs"])


def compare_variants(
    films: ScoredFilms, thresholds: Mapping[str, Mapping[str, float]], bootstrap: Bootstrap, *, reference: str
) -> dict[str, Any]:
    """Return each exported variant beside ``reference``: AUC lost (paired), differences, and decisions that flip.

    ``thresholds`` holds the operating points of each variant, certified on its own graph; a decision flips where the
    reference graph at its threshold and the variant at its own disagree.
    """
    base, its_points = films.variants[reference], thresholds[reference]
    found = {}
    for name, scores in films.variants.items():
        flags = {point: scores >= threshold for point, threshold in thresholds[name].items()}
        draws = _variant_draws(films, base, scores, flags, bootstrap)
        loss = _minus(auc(films.labels, base), auc(films.labels, scores))
        found[name] = {
            "auc": figure(auc(films.labels, scores), draws["auc"]),
            "auc_loss": figure(loss, draws["auc_loss"]),
            "max_difference": float(np.abs(base - scores).max()),
            "mean_difference": float(np.abs(base - scores).mean()),
            "operating_points": {
                point: {"threshold": thresholds[name][point], **figures}
                for point, figures in point_figures(films.labels, films.patients, flags, draws).items()
            },
            "decision_flips": {
                point: {"flips": int(np.sum(flagged != (base >= its_points[point]))), "of": len(scores)}
                for point, flagged in flags.items()
            },
        }
    return found


def certificate_checks(
    films: ScoredFilms, certified: Mapping[str, tuple[float, float]], seed: int
) -> dict[str, dict[str, Any] | None]:
    """Return whether the test patients contradict each certificate, given as name: (threshold, sensitivity).

    An exact one-sided binomial test on one random unhealthy film of each patient. ``None`` where the point flags
    everything, and so claims nothing that could be contradicted, or where there is no unhealthy film.
    """
    rows = one_film_per_patient(films.patients, films.labels == 1, seed)
    checks: dict[str, dict[str, Any] | None] = {}
    for name, (threshold, sensitivity) in certified.items():
        if threshold == FLAG_EVERYTHING or not len(rows):
            checks[name] = None
            continue
        misses = int(np.sum(films.scores[rows] < threshold))
        checks[name] = {"threshold": threshold, **exact_check(misses, len(rows), sensitivity)}
    return checks


def exact_check(misses: int, positives: int, sensitivity: float) -> dict[str, Any]:
    """Return the exact test of ``sensitivity`` against ``misses`` of ``positives`` independent unhealthy films."""
    p_value = miss_rate_p_value(misses, positives, 1 - sensitivity)
    return {
        "positives": positives,
        "misses": misses,
        "observed_sensitivity": 1 - misses / positives,
        "claimed_sensitivity": sensitivity,
        "p_value": p_value,
        "rejected_at_01": p_value < REJECTED_AT,
    }


def finding_figures(films: ScoredFilms, bootstrap: Bootstrap) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the AUC of each finding in the order of the recipe, and their mean over those with enough patients."""
    draws = bootstrap.draws(
        films.patients,
        lambda weights: {
            name: weighted_auc(truth, films.finding_scores[name], weights) for name, truth in films.truths.items()
        },
    )
    found, means, mean_draws = [], [], []
    for name, truth in films.truths.items():
        note = too_few(films.patients, {"positive": truth == 1, "negative": truth == 0})
        value = auc(truth, films.finding_scores[name])
        if note is None and value is not None:
            means.append(value)
            mean_draws.append(draws[name])
        found.append(
            {
                "finding": name,
                "films": len(truth),
                "patients": len(np.unique(films.patients[truth == 1])),
                "positives": int(truth.sum()),
                "auc": missing(note) if note is not None else figure(value, draws[name]),
            }
        )
    if not means:
        return found, missing("no finding with enough patients")
    return found, figure(float(np.mean(means)), np.mean(mean_draws, axis=0))


def _variant_draws(
    films: ScoredFilms, base: Floats, scores: Floats, flags: Mapping[str, Any], bootstrap: Bootstrap
) -> dict[str, Floats]:
    def statistics(weights: Floats) -> dict[str, Floats]:
        area = weighted_auc(films.labels, scores, weights)
        loss = weighted_auc(films.labels, base, weights) - area
        return {"auc": area, "auc_loss": loss, **flag_statistics(films.labels, flags, weights)}

    return bootstrap.draws(films.patients, statistics)


def _minus(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs
