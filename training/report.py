"""The figures of one set of scored films, each with its patient-bootstrap interval, as ``report.json`` holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from training.metrics import (
    Floats,
    Labels,
    auc,
    bootstrap_figures,
    confusion,
    expected_calibration_error,
    interval,
    patient_weights,
    stratified_auc,
)

_RATIOS = ("sensitivity", "specificity", "accuracy", "f3", "f3_skill")


@dataclass(frozen=True, kw_only=True)
class ScoredFilms:
    """Labels, scores, patients and views of the same films, each ``(n,)``."""

    labels: Labels
    scores: Floats
    patients: NDArray[np.str_]
    views: NDArray[np.str_]

    def where(self, chosen: NDArray[np.bool_]) -> ScoredFilms:
        """Return the chosen films."""
        return ScoredFilms(
            labels=self.labels[chosen],
            scores=self.scores[chosen],
            patients=self.patients[chosen],
            views=self.views[chosen],
        )


def describe(films: ScoredFilms, thresholds: Mapping[str, float], *, replicates: int, seed: int) -> dict[str, Any]:
    """Return counts, AUC and, for each named threshold, confusion and ratios; F3 always beside flag-everything's.

    ``films`` holds at least one; the split sees to it that no part is without undisputed films of both classes.
    """
    draws = {name: _draws(films, threshold, replicates, seed) for name, threshold in thresholds.items()}
    first = next(iter(draws.values()))
    return {
        "films": len(films.labels),
        "patients": len(np.unique(films.patients)),
        "unhealthy": int(films.labels.sum()),
        "prevalence": float(films.labels.mean()),
        "auc": _figure(auc(films.labels, films.scores), first["auc"]),
        "operating_points": {
            name: _at_threshold(films, threshold, draws[name]) for name, threshold in thresholds.items()
        },
    }


def describe_whole(
    films: ScoredFilms, thresholds: Mapping[str, float], *, replicates: int, seed: int
) -> dict[str, Any]:
    """Return ``describe`` of all films, and of each view; with view-adjusted AUC and calibration."""
    return {
        **describe(films, thresholds, replicates=replicates, seed=seed),
        "view_adjusted_auc": stratified_auc(films.labels, films.scores, films.views),
        "expected_calibration_error": expected_calibration_error(films.labels, films.scores),
        "by_view": {
            str(view): describe(films.where(films.views == view), thresholds, replicates=replicates, seed=seed)
            for view in np.unique(films.views)
        },
    }


def compare(films: ScoredFilms, rival: Floats, *, replicates: int, seed: int) -> dict[str, Any]:
    """Return the rival's AUC on the same films and the paired difference, ours minus theirs."""
    ours, theirs = [], []
    for weights in patient_weights(films.patients, replicates, seed):
        ours.append(bootstrap_figures(films.labels, films.scores, weights, None)["auc"])
        theirs.append(bootstrap_figures(films.labels, rival, weights, None)["auc"])
    mine, its = auc(films.labels, films.scores), auc(films.labels, rival)
    return {
        "auc": _figure(its, np.concatenate(theirs)),
        "view_adjusted_auc": stratified_auc(films.labels, rival, films.views),
        "network_ahead_by": _figure(
            None if mine is None or its is None else mine - its, np.concatenate(ours) - np.concatenate(theirs)
        ),
    }


def summary_table(test: Mapping[str, Any], baselines: Mapping[str, Any]) -> Table:
    """Return the figures that people ask for first."""
    table = Table("operating point", "sensitivity", "specificity", "F3", "F3 of flagging everything", "skill")
    for name, point in test["operating_points"].items():
        table.add_row(
            name,
            show(point["sensitivity"]),
            show(point["specificity"]),
            show(point["f3"]),
            f"{point['f3_flag_everything']:.4f}",
            show(point["f3_skill"]),
        )
    rivals = "; ".join(f"{name.replace('_', ' ')} {show(rival['auc'])}" for name, rival in baselines.items())
    table.caption = f"{test['films']} test films, AUC {show(test['auc'])}; {rivals}"
    return table


def show(figure: Mapping[str, float | None]) -> str:
    """Return a figure with its interval as people read it."""
    if figure["value"] is None:
        return "undefined"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _draws(films: ScoredFilms, threshold: float, replicates: int, seed: int) -> dict[str, Floats]:
    blocks = [
        bootstrap_figures(films.labels, films.scores, weights, threshold)
        for weights in patient_weights(films.patients, replicates, seed)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _at_threshold(films: ScoredFilms, threshold: float, draws: Mapping[str, Floats]) -> dict[str, Any]:
    counts = confusion(films.labels, films.scores, threshold)
    return {
        "threshold": threshold,
        "confusion": asdict(counts),
        **{name: _figure(getattr(counts, name), draws[name]) for name in _RATIOS},
        "f3_flag_everything": counts.f3_flag_everything,
        "flagged_share": (counts.true_positives + counts.false_positives) / counts.films,
    }


def _figure(value: float | None, draws: Floats) -> dict[str, float | None]:
    bounds = interval(draws)
    low, high = bounds if bounds is not None else (None, None)
    return {"value": value, "low": low, "high": high}
