"""All figures of a run, from scored films: what ``report.json`` holds. Knows no graph and no network.

Disputed films are left out of everything but two sections of their own, unless the recipe trains on such films.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from training.statistics.anchors import NOTE, anchors
from training.statistics.calibration import (
    brier_score,
    expected_calibration_error,
    log_loss,
    reliability,
    shifted,
    weighted_calibration_error,
)
from training.statistics.curves import curves
from training.statistics.figures import figure, missing, show, too_few
from training.statistics.groups import describe, subgroups
from training.statistics.intervals import Bootstrap, exact_interval
from training.statistics.metrics import (
    average_precision,
    confusion,
    stratified_auc,
    weighted_average_precision,
    weighted_stratified_auc,
)
from training.statistics.multilabel import FindingsJudgement, multilabel_figures
from training.statistics.reweighting import prevalence_tables
from training.statistics.rivals import certificate_checks, compare, compare_variants, finding_figures
from training.statistics.scored_films import ScoredFilms

SCHEMA_VERSION = 2
REFERENCE = "fp32"
# Report 002's own operating point: the larger of the two softmax outputs.
HALF = "half"
_HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How scored films are judged: the operating points of every variant, and what they claim.

    Attributes
    ----------
    ships
        The variant whose figures the report is about.
    thresholds
        For each variant, the threshold of each operating point.
    certified
        Sensitivity that an operating point certifies, by its name.
    prevalences
        Shares of unhealthy films that figures are reweighted to.
    temperature, shift
        What the graph does to its logits.
    """

    ships: str
    thresholds: Mapping[str, Mapping[str, float]]
    certified: Mapping[str, float]
    confidence: float
    prevalences: Sequence[float]
    temperature: float
    shift: float
    leave_out_disputed: bool

    @property
    def served(self) -> Mapping[str, float]:
        """Thresholds of the variant that ships, and ``half``."""
        return {**self.thresholds[self.ships], HALF: _HALF}


def measure(
    everything: ScoredFilms,
    calibrate: ScoredFilms,
    judgement: Judgement,
    findings: FindingsJudgement,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Return every section of the report that is computed from films.

    ``everything`` are the test films, disputed ones included; ``calibrate`` choose thresholds for a prevalence, a beta
    or a cost. Both hold undisputed films of both classes. ``findings`` says when a single finding counts as called.
    """
    test = everything.where(~everything.facts.is_disputed) if judgement.leave_out_disputed else everything
    points = judgement.served
    return {
        **_preamble(judgement, bootstrap),
        "test": {
            **describe(test, points, bootstrap, confidence=judgement.confidence),
            **_ranking(test, bootstrap),
        },
        "test_with_disputed_films": describe(everything, points, bootstrap, confidence=judgement.confidence),
        "disputed": _disputed(everything.where(everything.facts.is_disputed), points),
        "normal_as_positive": _normal_as_positive(test),
        "curves": curves(test, calibrate, bootstrap, shift=judgement.shift),
        "calibration": _calibration(test, judgement, bootstrap),
        "prevalences": prevalence_tables(test, calibrate, points, judgement.prevalences, bootstrap),
        **_findings(test, bootstrap),
        "multilabel": multilabel_figures(test, findings),
        "subgroups": _subgroups(test, points, judgement, bootstrap),
        "baselines": {name: compare(test, scores, bootstrap) for name, scores in test.rivals.items()},
        "variants": compare_variants(test, judgement.thresholds, bootstrap, reference=REFERENCE),
        "certificates": certificate_checks(
            test,
            {name: (points[name], sensitivity) for name, sensitivity in judgement.certified.items()},
            bootstrap.seed,
        ),
    }


def summary_table(report: Mapping[str, Any]) -> Table:
    """Return the figures that people ask for first."""
    test = report["test"]
    table = Table("operating point", "sensitivity", "specificity", "F3", "F3 of flagging everything", "skill")
    for name, point in test["operating_points"].items():
        ratios = (show(point[ratio]) for ratio in ("sensitivity", "specificity", "f3"))
        table.add_row(name, *ratios, f"{point['f3_flag_everything']:.4f}", show(point["f3_skill"]))
    rivals = "; ".join(
        f"{name.replace('_', ' ')} {show(rival['auc'])}, network ahead by {show(rival['network_ahead_by'])}"
        for name, rival in report["baselines"].items()
    )
    ranked = f"AUC {show(test['auc'])}, view-adjusted {show(test['view_adjusted_auc'])}"
    table.caption = f"{test['films']} test films, {ranked}; {rivals}"
    return table


def _preamble(judgement: Judgement, bootstrap: Bootstrap) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "positive_class": "unhealthy: any finding recorded",
        "scored_by": f"the exported ONNX graph '{judgement.ships}' on the CPU",
        "intervals": (
            f"low and high: central 95 % of {bootstrap.replicates} bootstrap draws of patients; exact_low and "
            "exact_high: Clopper-Pearson 95 %, films taken as independent"
        ),
        "ships": judgement.ships,
    }


def _findings(films: ScoredFilms, bootstrap: Bootstrap) -> dict[str, Any]:
    findings, mean_auc = finding_figures(films, bootstrap)
    return {
        "findings": [{**found, "anchors": anchors(found["finding"])} for found in findings],
        "findings_mean_auc": mean_auc,
        "findings_anchors_note": NOTE,
    }


def _ranking(films: ScoredFilms, bootstrap: Bootstrap) -> dict[str, Any]:
    labels, scores, views = films.labels, films.scores, films.views
    draws = bootstrap.draws(
        films.patients,
        lambda weights: {
            "view_adjusted_auc": weighted_stratified_auc(labels, scores, views, weights),
            "average_precision": weighted_average_precision(labels, scores, weights),
        },
    )
    found = {
        "view_adjusted_auc": figure(stratified_auc(labels, scores, views), draws["view_adjusted_auc"]),
        "average_precision": figure(average_precision(labels, scores), draws["average_precision"]),
    }
    note = too_few(films.patients, {"unhealthy": labels == 1, "healthy": labels == 0})
    return found if note is None else dict.fromkeys(found, missing(note))


def _normal_as_positive(films: ScoredFilms) -> dict[str, Any]:
    """Return the figures at half as report 003's table counts them: a normal film that is called normal is the hit."""
    counted = confusion(films.labels, films.scores, _HALF)
    return {
        "operating_point": HALF,
        "positive_class": "normal",
        "sensitivity": counted.specificity,
        "specificity": counted.sensitivity,
        "accuracy": counted.accuracy,
    }


def _disputed(films: ScoredFilms, points: Mapping[str, float]) -> dict[str, Any]:
    count = len(films.labels)
    return {
        "films": count,
        "patients": len(np.unique(films.patients)),
        "recorded_unhealthy": int(films.labels.sum()),
        "mean_probability": float(films.scores.mean()) if count else None,
        "operating_points": {
            name: {"threshold": threshold, "flagged": int(np.sum(films.scores >= threshold)), "of": count}
            for name, threshold in points.items()
        },
    }


def _calibration(films: ScoredFilms, judgement: Judgement, bootstrap: Bootstrap) -> dict[str, Any]:
    # A site's shift is meant to disagree with these films' prevalence; what can be checked is the probability before.
    labels, probabilities = films.labels, shifted(films.scores, -judgement.shift)
    draws = bootstrap.draws(
        films.patients, lambda weights: {"error": weighted_calibration_error(labels, probabilities, weights)}
    )
    bins = []
    for found in reliability(labels, probabilities):
        bounds = exact_interval(found.unhealthy, found.films)
        assert bounds is not None
        bins.append(
            {
                "low": found.low,
                "high": found.high,
                "mean_probability": found.mean_probability,
                "observed": found.unhealthy / found.films,
                "films": found.films,
                "exact_low": bounds[0],
                "exact_high": bounds[1],
            }
        )
    return {
        "expected_calibration_error": figure(expected_calibration_error(labels, probabilities), draws["error"]),
        "bins": bins,
        "brier": brier_score(labels, probabilities),
        "log_loss": log_loss(labels, probabilities),
        "temperature": judgement.temperature,
        "prior_shift": judgement.shift,
    }


def _subgroups(
    films: ScoredFilms, points: Mapping[str, float], judgement: Judgement, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    for attribute, group, members in subgroups(films):
        tables.setdefault(attribute, {})[group] = describe(members, points, bootstrap, confidence=judgement.confidence)
    return tables
