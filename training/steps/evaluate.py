"""Eighth step: the test part, scored once by every exported graph; figures with intervals, baselines, plots, page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.datasets.films import read_tensors, tensor_batches
from training.datasets.inputs import Inputs, age_sex_of, input_batches
from training.datasets.labels import Table, findings_of, labels_of, patients_of, rows_of, views_of
from training.datasets.sample import Part, read_samples
from training.datasets.unreadable import counts_by_part, read_unreadable
from training.graphs.graph import graph_outputs, score_graph
from training.graphs.served import FINDINGS, PROBABILITY
from training.networks.answers import finding_logits
from training.networks.network import TriageNetwork
from training.recipe import certified_name
from training.reporting.activation_maps import draw_activation_maps
from training.reporting.page import write_page
from training.reporting.plots import draw_plots
from training.reporting.tables import write_per_class
from training.statistics.baselines import HOG_TRAINING_FILMS, hog_features, hog_scores, view_scores
from training.statistics.intervals import Bootstrap
from training.statistics.metrics import Floats, auc
from training.statistics.multilabel import FindingsJudgement
from training.statistics.report import Judgement, measure, summary_table
from training.statistics.scored_films import ScoredFilms, facts_of, read_scored_films, write_scored_films
from training.step import StepContext

_TABLES = "tables"
_ACTIVATION_MAPS = "activation_maps"
_NO_FEATURES = "not measured: without frozen features every film would have to pass the whole untrained network"
_UNTRAINED = "the head with random weights, on the frozen features; age and sex, where it takes them, included"


def run(context: StepContext, output: Path) -> None:
    """Write ``test_scores.csv``, ``report.json``, ``report.html``, ``plots/`` and ``tables/``.

    Disputed films are scored too, but counted in figures of their own only, unless the recipe trains on such films.
    ``activation_maps/`` holds a real film's activations, where the recipe asks for them; nothing of it enters the page.
    """
    recipe, run = context.order.recipe, context.run
    table, export, chosen = read_samples(run.samples), _read(run.export_facts), _read(run.operating_points)
    films = _scored(context, table, export)
    write_scored_films(output / run.test_scores.name, films)
    report = {
        "bundle": recipe.bundle.model_dump(mode="json"),
        **measure(
            films,
            read_scored_films(run.calibrate_scores),
            _judgement(context, export, chosen),
            _findings_judgement(context, table),
            Bootstrap(replicates=recipe.evaluation.bootstrap, seed=recipe.seed),
        ),
        **_network_facts(context, table),
        "left_out": _left_out(context),
        "activation_maps": _activation_maps(context, films, table, output / _ACTIVATION_MAPS),
        "export": export,
        "operating_points": chosen,
        # The manifest counts what the table lists; figures rest on the films that decode.
        "provenance": _read(run.provenance) | {"parts": counts_by_part(table)},
        "head_history": _lines(run.head_history),
        "history": _lines(run.history),
    }
    (output / run.report.name).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _show(context, report, output)


def _show(context: StepContext, report: dict[str, Any], output: Path) -> None:
    """Write everything that people look at, from the report alone."""
    plots, tables = output / context.run.plots.name, output / _TABLES
    plots.mkdir()
    draw_plots(report, plots)
    if report["multilabel"] is not None:
        tables.mkdir()
        write_per_class(report["multilabel"], tables)
    (output / context.run.report_page.name).write_text(write_page(report, plots), encoding="utf-8")
    context.console.print(summary_table(report))


def _scored(context: StepContext, table: Table, export: dict[str, Any]) -> ScoredFilms:
    recipe, run = context.order.recipe, context.run
    rows = rows_of(table, Part.TEST, leave_out_disputed=False)
    tensors, ships = run.tensors(recipe.preprocessing.size), export["ships"]

    def inputs() -> Iterator[Inputs]:
        return input_batches(tensors, table, rows, with_age_sex=recipe.network.age_sex)

    answers = graph_outputs(
        run.graph(ships).read_bytes(), inputs(), threads=context.threads, names=(PROBABILITY, FINDINGS)
    )
    served = answers[PROBABILITY].astype(np.float64)
    others = {
        name: score_graph(run.graph(name).read_bytes(), inputs(), threads=context.threads)
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


def _findings_judgement(context: StepContext, table: Table) -> FindingsJudgement:
    recipe = context.order.recipe
    train = rows_of(table, Part.TRAIN, leave_out_disputed=recipe.data.leave_out_disputed)
    shares = findings_of([table[row] for row in train], recipe.network.findings).mean(axis=0, dtype=np.float64)
    return FindingsJudgement(
        threshold=recipe.evaluation.findings_threshold,
        train_shares=dict(zip(recipe.network.findings, shares.tolist(), strict=True)),
    )


def _network_facts(context: StepContext, table: Table) -> dict[str, Any]:
    recipe = context.order.recipe
    # Its random weights are no state of this run: what was drawn before stays what it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = TriageNetwork(recipe.network, size=recipe.preprocessing.size).eval()
    return {
        "network": {
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "size": recipe.preprocessing.size,
            **recipe.network.model_dump(mode="json"),
        },
        "untrained": _untrained(context, table, network),
    }


def _untrained(context: StepContext, table: Table, network: TriageNetwork) -> dict[str, Any]:
    """Return the AUC of each finding by a head that has not learnt yet, the lower bars of report 004's figure 5."""
    recipe, names = context.order.recipe, context.order.recipe.network.findings
    if not names or not context.run.features.exists():
        return {"how": _NO_FEATURES, "findings_auc": {}}
    rows = rows_of(table, Part.TEST, leave_out_disputed=recipe.data.leave_out_disputed)
    features = torch.from_numpy(np.load(context.run.features, mmap_mode="r")[rows])
    known = torch.from_numpy(age_sex_of(table)[rows]) if recipe.network.age_sex else None
    with torch.inference_mode():
        logits = network.head(network.joined(features, known))
    scores = finding_logits(logits, any_finding=recipe.network.any_finding).double().numpy()
    truths = findings_of([table[row] for row in rows], names).astype(np.int64)
    return {
        "how": _UNTRAINED,
        "findings_auc": {name: auc(truths[:, place], scores[:, place]) for place, name in enumerate(names)},
    }


def _activation_maps(context: StepContext, films: ScoredFilms, table: Table, folder: Path) -> dict[str, Any] | None:
    """Draw what every convolution makes of the unhealthy test film that the network is surest of."""
    recipe = context.order.recipe
    if not recipe.evaluation.activation_maps:
        return None
    surest = int(np.argmax(np.where((films.labels == 1) & ~films.facts.is_disputed, films.scores, -1.0)))
    row = rows_of(table, Part.TEST, leave_out_disputed=False)[surest]
    network = TriageNetwork(recipe.network, size=recipe.preprocessing.size)
    network.load_state_dict(torch.load(context.run.network, map_location="cpu", weights_only=True))
    folder.mkdir()
    drawn = draw_activation_maps(network, read_tensors(context.run.tensors(recipe.preprocessing.size), [row]), folder)
    context.console.print(f"  {len(drawn['drawn'])} of {drawn['convolutions']} convolutions drawn in {folder.name}/")
    return drawn


def _left_out(context: StepContext) -> dict[str, Any]:
    """Return how many films no figure speaks of; their names and reasons stay in the run's own table."""
    parts = Counter(film.part.value for film in read_unreadable(context.run.unreadable))
    return {
        "unreadable": {"films": parts.total(), "parts": dict(sorted(parts.items()))},
        "too_old": _read(context.run.provenance)["rows_too_old"],
    }


def _lines(history: Path) -> list[dict[str, Any]]:
    """Return the epochs of a history; none where nothing of the kind was learnt."""
    if not history.exists():
        return []
    return [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
