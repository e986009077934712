"""Seventh step: operating points, chosen and certified on calibrate patients, for every variant on its own graph."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.datasets.films import tensor_batches
from training.datasets.labels import rows_of
from training.datasets.sample import Part, read_samples
from training.graphs.graph import score_graph
from training.statistics.operating_points import calibrate_counts, operating_points
from training.statistics.scored_films import ScoredFilms, facts_of, write_scored_films
from training.step import StepContext


def run(context: StepContext, output: Path) -> None:
    """Write ``operating_points.json`` and, for later choices on the same films, ``calibrate_scores.csv``."""
    recipe, run = context.order.recipe, context.run
    export = json.loads(run.export_facts.read_text(encoding="utf-8"))
    table = read_samples(run.samples)
    rows = rows_of(table, Part.CALIBRATE, leave_out_disputed=recipe.data.leave_out_disputed)
    tensors = run.tensors(recipe.preprocessing.size)
    graphs = {name: run.graph(name).read_bytes() for name in export["variants"]}
    variants = {
        name: score_graph(graph, tensor_batches(tensors, rows), threads=context.threads)
        for name, graph in graphs.items()
    }
    films = ScoredFilms(
        facts=facts_of(table[row][0] for row in rows), scores=variants[export["ships"]], variants=variants
    )
    today, shift = datetime.now(UTC).date(), float(export["prior_shift"])
    points = {
        name: operating_points(films.facts, scores, recipe.threshold, seed=recipe.seed, shift=shift, today=today)
        for name, scores in variants.items()
    }
    document: dict[str, Any] = {
        "default": recipe.threshold.default,
        "calibrate": calibrate_counts(films),
        "variants": {
            name: {"graph_sha256": hashlib.sha256(graphs[name]).hexdigest(), "points": points[name]} for name in points
        },
    }
    (output / run.operating_points.name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    write_scored_films(output / run.calibrate_scores.name, films)
    for point in points[export["ships"]]:
        context.console.print(f"  {point['name']}: flag at or above {point['threshold']:.4f}; {point['evidence']}")
