"""Eighth step: the test part, scored once, by the ONNX file that ships; every figure with interval and baselines."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from training.baselines import HOG_TRAINING_FILMS, hog_features, hog_scores, view_scores
from training.datasets.sample import Part, read_samples
from training.films import tensor_batches
from training.graph import score_graph
from training.labels import Table, labels_of, patients_of, rows_of, views_of
from training.metrics import Floats
from training.report import ScoredFilms, compare, describe, describe_whole, summary_table
from training.step import StepContext

# Report 002's own operating point: the larger of the two softmax outputs.
_HALF = "half"


def run(context: StepContext, output: Path) -> None:
    """Write ``test_scores.csv`` and ``report.json``.

    Disputed films are scored too, but counted in a second set of figures only, unless the recipe trains on such films.
    """
    recipe = context.order.recipe
    table = read_samples(context.run.samples)
    rows = rows_of(table, Part.TEST, leave_out_disputed=False)
    batches = tensor_batches(context.run.tensors, rows)
    scores = score_graph(context.run.graph.read_bytes(), batches, threads=context.threads)
    _write_scores(output / context.run.test_scores.name, table, rows, scores)
    everything = ScoredFilms(
        labels=labels_of(table)[rows], scores=scores, patients=patients_of(table)[rows], views=views_of(table)[rows]
    )
    kept = np.array([not (recipe.data.leave_out_disputed and table[row][0].is_disputed) for row in rows])
    thresholds = _thresholds(context) | {_HALF: 0.5}
    replicates, seed = recipe.evaluation.bootstrap, recipe.seed
    test = describe_whole(everything.where(kept), thresholds, replicates=replicates, seed=seed)
    report = {
        "positive_class": "unhealthy: any finding recorded",
        "scored_by": "the exported ONNX graph on the CPU",
        "intervals": f"central 95 % of {replicates} bootstrap draws of patients",
        "test": test,
        "test_with_disputed_films": describe(everything, thresholds, replicates=replicates, seed=seed),
        "baselines": _baselines(
            context, table, everything.where(kept), [row for row, is_kept in zip(rows, kept, strict=True) if is_kept]
        ),
        "export": json.loads(context.run.export_facts.read_text(encoding="utf-8")),
        "operating_points": json.loads(context.run.operating_points.read_text(encoding="utf-8")),
        "provenance": json.loads(context.run.provenance.read_text(encoding="utf-8")),
    }
    (output / context.run.report.name).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    context.console.print(summary_table(test, report["baselines"]))


def _thresholds(context: StepContext) -> dict[str, float]:
    document = json.loads(context.run.operating_points.read_text(encoding="utf-8"))
    return {point["name"]: point["threshold"] for point in document["points"]}


def _baselines(context: StepContext, table: Table, test: ScoredFilms, test_rows: list[int]) -> dict[str, Any]:
    recipe = context.order.recipe
    train = rows_of(table, Part.TRAIN, leave_out_disputed=recipe.data.leave_out_disputed)
    labels, tensors = labels_of(table), context.run.tensors
    some = np.random.default_rng(recipe.seed).permutation(train)[:HOG_TRAINING_FILMS].tolist()
    rivals = {
        "view_only": view_scores(views_of(table)[train], labels[train], test.views),
        "hog_logistic_regression": hog_scores(
            hog_features(tensor_batches(tensors, some)),
            labels[some],
            patients_of(table)[some],
            hog_features(tensor_batches(tensors, test_rows)),
        ),
    }
    return {
        name: compare(test, scores, replicates=recipe.evaluation.bootstrap, seed=recipe.seed)
        for name, scores in rivals.items()
    }


def _write_scores(path: Path, table: Table, rows: list[int], scores: Floats) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "patient", "view", "is_disputed", "is_unhealthy", "probability"))
        for row, score in zip(rows, scores, strict=True):
            sample = table[row][0]
            writer.writerow(
                (sample.id, sample.patient, sample.view or "", int(sample.is_disputed), int(sample.is_unhealthy), score)
            )
