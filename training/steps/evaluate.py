"""Eighth step: the test part, scored once by every exported graph; figures with intervals, baselines, plots, page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from training.datasets.films import tensor_batches
from training.datasets.labels import Table, findings_of, labels_of, patients_of, rows_of, views_of
from training.datasets.sample import Part, read_samples
from training.graphs.graph import graph_outputs, score_graph
from training.graphs.served import FINDINGS, PROBABILITY
from training.recipe import certified_name
from training.reporting.page import write_page
from training.reporting.plots import draw_plots
from training.statistics.baselines import HOG_TRAINING_FILMS, hog_features, hog_scores, view_scores
from training.statistics.intervals import Bootstrap
from training.statistics.metrics import Floats
from training.statistics.report import Judgement, measure, summary_table
from training.statistics.scored_films import ScoredFilms, facts_of, read_scored_films, write_scored_films
from training.step import StepContext


def run(context: StepContext, output: Path) -> None:
    """Write ``test_scores.csv``, ``report.json``, ``report.html`` and ``plots/``.

    Disputed films are scored too, but counted in figures of their own only, unless the recipe trains on such films.
    """
    recipe, run = context.order.recipe, context.run
    export, chosen = _read(run.export_facts), _read(run.operating_points)
    films = _scored(context, export)
    write_scored_films(output / run.test_scores.name, films)
    report = {
        "bundle": recipe.bundle.model_dump(mode="json"),
        **measure(
            films,
            read_scored_films(run.calibrate_scores),
            _judgement(context, export, chosen),
            Bootstrap(replicates=recipe.evaluation.bootstrap, seed=recipe.seed),
        ),
        "export": export,
        "operating_points": chosen,
        "provenance": _read(run.provenance),
        "history": [json.loads(line) for line in run.history.read_text(encoding="utf-8").splitlines()],
    }
    (output / run.report.name).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    plots = output / run.plots.name
    plots.mkdir()
    draw_plots(report, plots)
    (output / run.report_page.name).write_text(write_page(report, plots), encoding="utf-8")
    context.console.print(summary_table(report))


def _scored(context: StepContext, export: dict[str, Any]) -> ScoredFilms:
    recipe, run = context.order.recipe, context.run
    table = read_samples(run.samples)
    rows = rows_of(table, Part.TEST, leave_out_disputed=False)
    tensors, ships = run.tensors(recipe.preprocessing.size), export["ships"]
    answers = graph_outputs(
        run.graph(ships).read_bytes(),
        tensor_batches(tensors, rows),
        threads=context.threads,
        names=(PROBABILITY, FINDINGS),
    )
    served = answers[PROBABILITY].astype(np.float64)
    others = {
        name: score_graph(run.graph(name).read_bytes(), tensor_batches(tensors, rows), threads=context.threads)
        for name in export["variants"]
        if name != ships
    }
    names = recipe.network.findings
    truths = findings_of([table[row] for row in rows], names).astype(np.int64)
    return ScoredFilms(
        facts=facts_of(table[row][0] for row in rows),
        scores=served,
        variants={name: others.get(name, served) for name in export["variants"]},
        rivals=_rivals(context, table, rows),
        truths={name: truths[:, place] for place, name in enumerate(names)},
        finding_scores={name: answers[FINDINGS][:, place].astype(np.float64) for place, name in enumerate(names)},
    )


def _rivals(context: StepContext, table: Table, test_rows: list[int]) -> dict[str, Floats]:
    recipe = context.order.recipe
    train = rows_of(table, Part.TRAIN, leave_out_disputed=recipe.data.leave_out_disputed)
    labels, tensors = labels_of(table), context.run.tensors(recipe.preprocessing.size)
    some = np.random.default_rng(recipe.seed).permutation(train)[:HOG_TRAINING_FILMS].tolist()
    return {
        "view_only": view_scores(views_of(table)[train], labels[train], views_of(table)[test_rows]),
        "hog_logistic_regression": hog_scores(
            hog_features(tensor_batches(tensors, some)),
            labels[some],
            patients_of(table)[some],
            hog_features(tensor_batches(tensors, test_rows)),
        ),
    }


def _judgement(context: StepContext, export: dict[str, Any], chosen: dict[str, Any]) -> Judgement:
    recipe = context.order.recipe
    return Judgement(
        ships=export["ships"],
        thresholds={
            name: {point["name"]: point["threshold"] for point in variant["points"]}
            for name, variant in chosen["variants"].items()
        },
        certified={certified_name(sensitivity): sensitivity for sensitivity in recipe.threshold.certified},
        confidence=recipe.threshold.confidence,
        prevalences=recipe.evaluation.prevalences,
        temperature=export["temperature"],
        shift=export["prior_shift"],
        leave_out_disputed=recipe.data.leave_out_disputed,
    )


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
