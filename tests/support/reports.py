"""Reports of simulated films, through the functions that measure real ones; no network takes part."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.recipe import NetworkRecipe, ThresholdRecipe, certified_name
from training.statistics.intervals import Bootstrap
from training.statistics.multilabel import FindingsJudgement
from training.statistics.operating_points import Grounds, calibrate_counts, operating_points
from training.statistics.report import Judgement, measure
from training.statistics.scored_films import FilmFacts, ScoredFilms

FINDINGS = ("Effusion", "Mass", "Hernia")
THRESHOLDS = ThresholdRecipe(certified=(0.95, 0.975, 0.99), expected=(0.95,), costs=(10.0,))


def simulated_films(
    count: int = 240,
    *,
    unhealthy: NDArray[np.int64] | None = None,
    separation: float = 1.4,
    findings: tuple[str, ...] = FINDINGS,
    views: bool = True,
    seed: int = 5,
) -> ScoredFilms:
    """Return films of patients with one to three each; unhealthy ones score higher by ``separation`` logits."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.58).astype(np.int64) if unhealthy is None else unhealthy
    scores = _sigmoid(0.3 + separation * (labels - 0.5) + (separation > 0) * rng.normal(size=count))
    facts = FilmFacts(
        ids=np.array([f"{seed}-{row:05d}.png" for row in range(count)]),
        patients=np.array([f"{seed}-{row // (1 + row % 3)}" for row in range(count)]),
        views=np.where(rng.random(count) < 0.3 + 0.3 * labels, "AP", "PA") if views else np.full(count, "unknown"),
        sexes=np.where(rng.random(count) < 0.5, "F", "M"),
        ages=rng.integers(5, 100, count).astype(np.float64),
        is_disputed=rng.random(count) < 0.08,
        labels=labels,
    )
    truths = {
        name: labels * (rng.random(count) < share) for share, name in zip((0.4, 0.3, 0.01), findings, strict=False)
    }
    return ScoredFilms(
        facts=facts,
        scores=scores,
        variants={"fp32": scores, "int8": np.clip(scores + rng.normal(0, 0.003, count), 0, 1)},
        rivals={
            "view_only": np.where(facts.views == "AP", 0.7, 0.5),
            "hog_logistic_regression": _sigmoid(1.1 * (labels - 0.5) + rng.normal(size=count)),
        },
        truths={name: truth.astype(np.int64) for name, truth in truths.items()},
        finding_scores={name: _sigmoid(truth - 1 + rng.normal(size=count)) for name, truth in truths.items()},
    )


def simulated_report(
    test: ScoredFilms | None = None,
    *,
    calibrate: ScoredFilms | None = None,
    thresholds: ThresholdRecipe = THRESHOLDS,
    replicates: int = 100,
) -> dict[str, Any]:
    """Return the whole report of ``test``, with thresholds chosen on ``calibrate``; the commits are publish's."""
    test = simulated_films() if test is None else test
    findings = FindingsJudgement(
        threshold=0.5, train_shares={name: float(truth.mean()) for name, truth in test.truths.items()}
    )
    calibrate = simulated_films(400, seed=6) if calibrate is None else calibrate
    chosen = _chosen(calibrate, thresholds)
    judgement = Judgement(
        ships="fp32",
        thresholds={
            variant: {point["name"]: point["threshold"] for point in chosen["variants"][variant]["points"]}
            for variant in test.variants
        },
        certified={certified_name(sensitivity): sensitivity for sensitivity in thresholds.certified},
        confidence=thresholds.confidence,
        prevalences=(0.05, 0.1, 0.25, 0.4, 0.6),
        temperature=1.21,
        shift=0.0,
        leave_out_disputed=True,
    )
    return {
        "bundle": _bundle(),
        **measure(test, calibrate, judgement, findings, Bootstrap(replicates=replicates, seed=1)),
        "network": simulated_network(findings=tuple(test.truths)),
        "untrained": {"how": "simulated", "findings_auc": dict.fromkeys(test.truths, 0.49)},
        "left_out": {"unreadable": {"films": 0, "parts": {}}, "too_old": 0},
        "activation_maps": None,
        "export": _export(),
        "operating_points": chosen,
        "provenance": _provenance(),
        "head_history": simulated_epochs(30),
        "history": simulated_history(),
        "commits": {"manifest": "0" * 40, "publish": "0" * 40},
    }


def simulated_network(**values: Any) -> dict[str, Any]:
    """Return what a report says of its network, with ``values`` of the recipe's section in it."""
    section = NetworkRecipe.model_validate({"hidden": 512, "dropout": 0.4, **values})
    return {"parameters": 24_557_000, "size": 96, **section.model_dump(mode="json")}


def simulated_epochs(count: int, *, better: float = 0.0) -> list[dict[str, Any]]:
    """Return the lines of a history of ``count`` epochs, as every optimisation writes them."""
    return [
        {
            "number": epoch + 1,
            "loss": 0.7 - 0.15 * epoch / count - better,
            "accuracy": 0.55 + 0.1 * epoch / count + better,
            "select_auc": 0.6 + 0.1 * epoch / count + better,
            "findings_auc": None,
            "select_loss": 0.69 - 0.1 * epoch / count - better,
            "select_accuracy": 0.56 + 0.08 * epoch / count + better,
            "select_recall": 0.5,
            "learning_rate": 0.001,
            "films_per_second": 90.0,
            "seconds": 11.0,
        }
        for epoch in range(count)
    ]


def simulated_history(members: int = 2) -> list[dict[str, Any]]:
    """Return the lines of a history of two stages for each of ``members``, and the line of their average."""
    lines = [
        line | {"member": member, "stage": stage, "learns": learns, "size": 96}
        for member in range(members)
        for stage, learns in enumerate(("last_block", "whole"))
        for line in simulated_epochs(5, better=0.1 * stage - 0.01 * member)
    ]
    average: dict[str, Any] = {
        "average_of": members,
        "member_select_aucs": [0.78] * members,
        "select_auc": 0.8,
        "findings_auc": None,
    }
    return [*lines, average] if members > 1 else lines


def _chosen(calibrate: ScoredFilms, thresholds: ThresholdRecipe) -> dict[str, Any]:
    grounds = Grounds(seed=1, shift=0.0, margin=0.0, patients_known=True, today=date(2026, 11, 21))
    points = {
        variant: operating_points(calibrate.facts, scores, thresholds, grounds)
        for variant, scores in calibrate.variants.items()
    }
    return {
        "default": thresholds.default,
        "calibrate": calibrate_counts(calibrate),
        "variants": {variant: {"graph_sha256": "0" * 64, "points": made} for variant, made in points.items()},
    }


def _bundle() -> dict[str, Any]:
    return {
        "name": "simulated",
        "version": "0.0.1",
        "training_data": "simulated scores, <no film> & no network",
        "licence": "Apache-2.0",
        "remarks": [],
    }


def _export() -> dict[str, Any]:
    graph = {
        "sha256": "0" * 64,
        "graph_bytes": 47_123_456,
        "auc_calibrate": 0.8,
        "explanation_base": 0.0421,
        "completeness_max_difference": 2.4e-7,
        "completeness_tolerance": 1e-5,
    }
    fp32 = {"parity": {"probability": 3.1e-7}, "parity_max_difference": 3.1e-7, "parity_films": 64}
    return {
        "ships": "fp32",
        "why": "the recipe asks for fp32",
        "opset": 20,
        "temperature": 1.21,
        "calibration_offset": 0.0,
        "calibration_remark": None,
        "prior_shift": 0.0,
        "calibrate_prevalence": 0.6,
        "variants": {
            "fp32": graph | fp32 | {"parity_tolerance": 1e-5},
            "int8": graph | {"graph_bytes": 24_654_321, "auc_loss": 0.0004, "max_difference": 0.01},
        },
        "gate": {
            "limit": 93.1,
            "percentile": 99.5,
            "films": 620,
            "dimensions": 64,
            "calibrate_films": 400,
            "calibrate_films_beyond": 3,
        },
    }


def _provenance() -> dict[str, Any]:
    return {
        "commit": "0" * 40,
        "reader": "nih",
        "remarks": [],
        "shared_patients": 0,
        "patients_known": True,
        "init_sha256": None,
        "init": None,
        "parts": {
            "train": {"films": 620, "patients": 480, "disputed": 0},
            "test": {"films": 240, "patients": 133, "disputed": 19},
        },
    }


def _sigmoid(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-values)), dtype=np.float64)
