"""Figures of a cross-validation, and whether they reach what issue 3 asks.

Scores of different folds come from different networks and share no scale. Ranks are therefore compared within a fold
only (pairs of films of one fold, as ``stratified_auc`` counts them); the AUC of the pooled scores and the mean of the
folds' AUC stand beside it. Decisions need no scale: each film was flagged or not by the thresholds of its own fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from training.recipe import certified_name
from training.statistics.figures import Figure, figure, show
from training.statistics.folds import Fold, JoinedFolds
from training.statistics.groups import counts, flag_statistics, point_figures
from training.statistics.intervals import Bootstrap
from training.statistics.metrics import Flags, Floats, auc, f_beta_flag_everything, stratified_auc, weighted_auc
from training.statistics.metrics import weighted_stratified_auc as weighted
from training.statistics.reweighting import F3_HERE, reweighted
from training.statistics.rivals import compare, exact_check
from training.statistics.thresholds import FLAG_EVERYTHING, one_film_per_patient

HOG = "hog_logistic_regression"
_CERTIFIED = 0.95
# What issue 3 asks of the bundle that ships.
_AUC_FLOOR, _AUC_GOAL = 0.77, 0.80
_PREVALENCES = (0.10, 0.25)


def pooled_figures(joined: JoinedFolds, bootstrap: Bootstrap) -> dict[str, Any]:
    """Return all figures over the test films of all folds, and whether each reaches its mark."""
    films = joined.films
    points, own = joined.flags(), float(films.labels.mean())
    draws = bootstrap.draws(films.patients, lambda weights: flag_statistics(films.labels, points, weights))
    report = {
        "how": (
            "Every film was scored by the fold whose network was not trained on its patient. auc, view_adjusted_auc, "
            "within_view, findings and baselines compare films of one fold only; auc_pooled_scores compares all. "
            f"low and high: central 95 % of {bootstrap.replicates} bootstrap draws of patients, paired."
        ),
        **counts(films),
        "folds": [_fold_row(fold) for fold in joined.folds],
        **_ranking(joined, bootstrap),
        "baselines": {
            name: compare(films, scores, bootstrap, strata=joined.numbers) for name, scores in films.rivals.items()
        },
        "findings": _findings(joined, bootstrap),
        "operating_points": point_figures(films.labels, films.patients, points, draws),
        "prevalences": [
            {
                "prevalence": prevalence,
                "f3_flag_everything": f_beta_flag_everything(prevalence),
                "operating_points": reweighted(
                    films.labels, films.patients, joined.flags(prevalence), prevalence, bootstrap
                ),
            }
            for prevalence in (*_PREVALENCES, own)
        ],
        "certificate": _certificate(joined, bootstrap.seed),
    }
    return {**report, "marks": marks(report)}


def marks(report: Mapping[str, Any]) -> dict[str, bool]:
    """Return which figures of issue 3 are reached; a figure that is not there reaches nothing."""
    ahead = report["baselines"].get(HOG, {}).get("network_ahead_by", {})
    certificate = report["certificate"]
    return {
        f"auc_at_least_{_AUC_FLOOR:.2f}": _reaches(report["auc"], _AUC_FLOOR),
        f"auc_goal_{_AUC_GOAL:.2f}": _reaches(report["auc"], _AUC_GOAL),
        "ahead_of_hog": _exceeds(ahead, "value", 0.0),
        "ahead_of_hog_lower_bound": _exceeds(ahead, "low", 0.0),
        **{
            f"lower_bound_above_half_within_{view}": _exceeds(report["within_view"].get(view, {}), "low", 0.5)
            for view in ("AP", "PA")
        },
        **{
            f"f3_skill_lower_bound_positive_at_{row['prevalence']:.2f}": _exceeds(
                row["operating_points"][F3_HERE]["f3_skill"], "low", 0.0
            )
            for row in report["prevalences"][: len(_PREVALENCES)]
        },
        "sens95_not_rejected_at_01": _holds_in_every_fold(certificate),
    }


def markdown_table(report: Mapping[str, Any]) -> str:
    """Return the figures that people ask for first, as a table in Markdown."""
    rows = [
        ("films, patients, folds", f"{report['films']}, {report['patients']}, {len(report['folds'])}"),
        ("AUC, pairs within folds", show(report["auc"])),
        ("AUC, mean of folds", show(report["auc_mean_of_folds"])),
        ("AUC, pooled scores", show(report["auc_pooled_scores"])),
        ("AUC, view-adjusted", show(report["view_adjusted_auc"])),
        *((f"AUC within {view}", show(found)) for view, found in report["within_view"].items()),
    ]
    for name, rival in report["baselines"].items():
        called = name.replace("_", " ")
        rows += [(called, show(rival["auc"])), (f"ahead of {called} by", show(rival["network_ahead_by"]))]
    for row in report["prevalences"]:
        here = row["operating_points"][F3_HERE]
        everything = f"F3 at {row['prevalence']:.0%} unhealthy (flagging everything {row['f3_flag_everything']:.4f})"
        rows.append((everything, f"{show(here['f3'])}, skill {show(here['f3_skill'])}"))
    if (check := report["certificate"]) is not None:
        missed = (
            f"{check['misses']} of {check['positives']} missed, p {check['p_value']:.3f}; "
            f"certified in {check['folds_certified']} of {check['folds']} folds, "
            f"which flag {check['flagged_share']:.1%} of their films"
        )
        rows.append(("sens95 on test patients", missed))
    rows += [
        (f"mark: {name.replace('_', ' ')}", "reached" if is_reached else "**not reached**")
        for name, is_reached in report["marks"].items()
    ]
    return "\n".join(["| figure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _fold_row(fold: Fold) -> dict[str, Any]:
    test = fold.test
    return {
        **counts(test),
        "auc": auc(test.labels, test.scores),
        "view_adjusted_auc": stratified_auc(test.labels, test.scores, test.views),
        "baselines": {name: auc(test.labels, scores) for name, scores in test.rivals.items()},
        "thresholds": dict(fold.thresholds),
    }


def _ranking(joined: JoinedFolds, bootstrap: Bootstrap) -> dict[str, Any]:
    films, numbers, strata = joined.films, joined.numbers, joined.numbers_and_views
    labels, scores = films.labels, films.scores

    def statistics(weights: Floats) -> dict[str, Floats]:
        inside = [numbers == number for number in np.unique(numbers)]
        folds = [weighted_auc(labels[its], scores[its], weights[:, its]) for its in inside]
        return {
            "auc": weighted(labels, scores, numbers, weights),
            "auc_mean_of_folds": np.asarray(np.mean(folds, axis=0)),
            "auc_pooled_scores": weighted_auc(labels, scores, weights),
            "view_adjusted_auc": weighted(labels, scores, strata, weights),
        }

    draws = bootstrap.draws(films.patients, statistics)
    values = {name: float(drawn[0]) for name, drawn in statistics(np.ones((1, len(labels)))).items()}
    return {
        **{name: figure(None if np.isnan(value) else value, draws[name]) for name, value in values.items()},
        "within_view": {str(view): _within(joined, films.views == view, bootstrap) for view in np.unique(films.views)},
    }


def _within(joined: JoinedFolds, chosen: Flags, bootstrap: Bootstrap) -> Figure:
    films, numbers = joined.films.where(chosen), joined.numbers[chosen]
    draws = bootstrap.draws(
        films.patients, lambda weights: {"auc": weighted(films.labels, films.scores, numbers, weights)}
    )
    return figure(stratified_auc(films.labels, films.scores, numbers), draws["auc"])


def _findings(joined: JoinedFolds, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    films, numbers = joined.films, joined.numbers
    draws = bootstrap.draws(
        films.patients,
        lambda weights: {
            name: weighted(truth, films.finding_scores[name], numbers, weights) for name, truth in films.truths.items()
        },
    )
    return [
        {
            "finding": name,
            "positives": int(truth.sum()),
            "auc": figure(stratified_auc(truth, films.finding_scores[name], numbers), draws[name]),
        }
        for name, truth in films.truths.items()
    ]


def _certificate(joined: JoinedFolds, seed: int) -> dict[str, Any] | None:
    """Return the exact test of the folds' certificates together, one random unhealthy film of each unseen patient.

    Folds that flag everything certify nothing and are left out; ``None`` if all do. ``flagged_share`` is that of all
    films of the folds that are counted.
    """
    name = certified_name(_CERTIFIED)
    misses, positives, certified = 0, 0, 0
    flags: list[Flags] = []
    for fold in joined.folds:
        threshold = fold.thresholds.get(name, FLAG_EVERYTHING)
        if threshold == FLAG_EVERYTHING:
            continue
        rows = one_film_per_patient(fold.test.patients, fold.test.labels == 1, seed)
        misses += int(np.sum(fold.test.scores[rows] < threshold))
        positives, certified = positives + len(rows), certified + 1
        flags.append(fold.test.scores >= threshold)
    if not positives:
        return None
    return {
        **exact_check(misses, positives, _CERTIFIED),
        "folds_certified": certified,
        "folds": len(joined.folds),
        "flagged_share": float(np.concatenate(flags).mean()),
    }


def _holds_in_every_fold(certificate: Mapping[str, Any] | None) -> bool:
    """Return whether all folds are certified and none of it is refuted: one lucky fold is no certificate."""
    return (
        certificate is not None
        and certificate["folds_certified"] == certificate["folds"]
        and not certificate["rejected_at_01"]
    )


def _reaches(found: Mapping[str, Any], mark: float) -> bool:
    return found["value"] is not None and bool(found["value"] >= mark)


def _exceeds(found: Mapping[str, Any], key: str, mark: float) -> bool:
    value = found.get(key)
    return value is not None and bool(value > mark)
