"""Seventh step: operating points, chosen and certified on calibrate patients, on the graph that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.sample import Part, read_samples
from training.errors import RecallFloorUnreachable
from training.films import tensor_batches
from training.graph import score_graph
from training.labels import labels_of, rows_of
from training.metrics import Floats, Labels
from training.recipe import F3_POINT, certified_name
from training.step import StepContext
from training.thresholds import FLAG_EVERYTHING, certified_threshold, f3_threshold, one_film_per_patient


def run(context: StepContext, output: Path) -> None:
    """Write ``operating_points.json``: ``f3`` and one certified point for each sensitivity that the recipe names."""
    recipe = context.order.recipe
    table = read_samples(context.run.samples)
    rows = rows_of(table, Part.CALIBRATE, leave_out_disputed=recipe.data.leave_out_disputed)
    labels = labels_of(table)[rows]
    patients = np.array([table[row][0].patient for row in rows])
    scores = score_graph(
        context.run.graph.read_bytes(), tensor_batches(context.run.tensors, rows), threads=context.threads
    )
    points = [_f3_point(labels, scores)]
    singles = scores[one_film_per_patient(patients, labels == 1, recipe.seed)]
    points += [
        _certified_point(singles, sensitivity, recipe.threshold.confidence)
        for sensitivity in recipe.threshold.certified
    ]
    document = {"default": recipe.threshold.default, "calibrate": _counts(labels, patients), "points": points}
    (output / context.run.operating_points.name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for point in points:
        context.console.print(f"  {point['name']}: flag at or above {point['threshold']:.4f}; {point['evidence']}")


def _f3_point(labels: Labels, scores: Floats) -> dict[str, Any]:
    threshold = f3_threshold(labels, scores)
    found = f"highest F3 on {len(labels)} calibrate films"
    if threshold == FLAG_EVERYTHING:
        found += ", where nothing beats flagging everything, so it flags everything"
    return {"name": F3_POINT, "threshold": threshold, "evidence": found}


def _certified_point(singles: Floats, sensitivity: float, confidence: float) -> dict[str, Any]:
    name = certified_name(sensitivity)
    try:
        certificate = certified_threshold(singles, sensitivity=sensitivity, confidence=confidence)
    except RecallFloorUnreachable as error:
        return {"name": name, "threshold": FLAG_EVERYTHING, "evidence": f"{error}, so it flags everything"}
    return {
        "name": name,
        "threshold": certificate.threshold,
        "evidence": (
            f"certified on {certificate.positives} calibrate patients, one unhealthy film each, "
            f"{certificate.misses} below the threshold: sensitivity at least {1 - certificate.miss_bound:.4f} "
            f"with confidence {confidence:g}"
        ),
        "positives": certificate.positives,
        "misses": certificate.misses,
        "miss_bound": certificate.miss_bound,
    }


def _counts(labels: Labels, patients: NDArray[np.str_]) -> dict[str, int]:
    return {"films": len(labels), "unhealthy": int(labels.sum()), "patients": len(np.unique(patients))}
