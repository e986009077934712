"""Seventh step: operating points, chosen and certified on calibrate patients, for every variant on its own graph."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from training.datasets.inputs import input_batches
from training.datasets.labels import rows_of
from training.datasets.sample import Part, read_samples
from training.graphs.certification import points_of
from training.graphs.export_facts import Variant, read_export_facts
from training.graphs.graph import score_graph
from training.statistics.metrics import Floats
from training.statistics.operating_points import calibrate_counts
from training.statistics.scored_films import ScoredFilms, facts_of, write_scored_films
from training.step import StepContext


def run(context: StepContext, output: Path) -> None:
    """Write ``operating_points.json`` and, for later choices on the same films, ``calibrate_scores.csv``."""
    recipe, run = context.order.recipe, context.run
    facts, provenance = read_export_facts(run.export_facts), json.loads(run.provenance.read_text(encoding="utf-8"))
    table = read_samples(run.samples)
    rows = rows_of(table, Part.CALIBRATE, leave_out_disputed=recipe.data.leave_out_disputed)
    tensors = run.tensors(recipe.preprocessing.size)
    graphs = {name: run.graph(name).read_bytes() for name in facts.variants.names}
    scores: dict[Variant, Floats] = {
        name: score_graph(
            graph,
            input_batches(tensors, table, rows, with_age_sex=recipe.network.age_sex),
            threads=context.threads,
        )
        for name, graph in graphs.items()
    }
    variants: dict[str, Floats] = dict(scores.items())
    films = ScoredFilms(facts=facts_of(table[row][0] for row in rows), scores=scores[facts.ships], variants=variants)
    points = {name: points_of(films, name, recipe, facts, provenance) for name in scores}
    document: dict[str, Any] = {
        "default": recipe.threshold.default,
        "calibrate": calibrate_counts(films),
        "variants": {
            name: {"graph_sha256": hashlib.sha256(graphs[name]).hexdigest(), "points": points[name]} for name in points
        },
    }
    (output / run.operating_points.name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    write_scored_films(output / run.calibrate_scores.name, films)
    for point in points[facts.ships]:
        context.console.print(f"  {point['name']}: flag at or above {point['threshold']:.4f}; {point['evidence']}")
