"""Sixth step: the trained network becomes the ONNX file that ships, held to its torch original on real films."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from training.datasets.sample import Part, read_samples
from training.films import tensor_batches
from training.graph import (
    ServedNetwork,
    export_graph,
    margins,
    prepare_for_export,
    probabilities,
    require_parity,
    score_graph,
)
from training.labels import labels_of, rows_of
from training.network import TriageNetwork
from training.recipe import Recipe
from training.step import StepContext
from training.thresholds import fit_temperature


def run(context: StepContext, output: Path) -> None:
    """Write ``model.onnx`` and ``export.json``.

    Batch normalisation is folded and weights are rounded first; the temperature is fitted on calibrate patients for
    that rounded network and becomes part of the graph.

    Raises
    ------
    ParityError
        If graph and network differ by more than the recipe's tolerance on any of its parity films.
    TrainingDiverged
        If no temperature calibrates the network.
    """
    recipe = context.order.recipe
    table = read_samples(context.run.samples)
    calibrate = rows_of(table, Part.CALIBRATE, leave_out_disputed=recipe.data.leave_out_disputed)
    prepared = _trained_network(context)
    labels = labels_of(table)[calibrate]
    temperature = fit_temperature(margins(prepared, tensor_batches(context.run.tensors, calibrate)), labels)
    served = ServedNetwork(prepared, temperature).eval()
    graph = _graph(served, recipe)
    checked = calibrate[: recipe.export.parity_films]
    films = list(tensor_batches(context.run.tensors, checked))
    scored = score_graph(graph, films, threads=context.threads)
    difference = require_parity(probabilities(served, films), scored, recipe.export.parity_tolerance)
    (output / context.run.graph.name).write_bytes(graph)
    facts = {
        "temperature": temperature,
        "opset": recipe.export.opset,
        "parity_films": len(checked),
        "parity_max_difference": difference,
        "parity_tolerance": recipe.export.parity_tolerance,
        "graph_bytes": len(graph),
    }
    (output / context.run.export_facts.name).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    context.console.print(
        f"  {len(graph) / 1e6:.1f} MB, temperature {temperature:.3f}, parity {difference:.1e} on {len(checked)} films"
    )


def _graph(served: ServedNetwork, recipe: Recipe) -> bytes:
    return export_graph(
        served,
        size=recipe.preprocessing.size,
        opset=recipe.export.opset,
        half_precision_weights=recipe.export.half_precision_weights,
    )


def _trained_network(context: StepContext) -> TriageNetwork:
    recipe = context.order.recipe
    network = TriageNetwork(recipe.network)
    network.load_state_dict(torch.load(context.run.network, map_location="cpu", weights_only=True))
    return prepare_for_export(network, half_precision_weights=recipe.export.half_precision_weights)
