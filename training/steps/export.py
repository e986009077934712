"""Sixth step: the trained network becomes the ONNX files that may ship, held to their torch original on real films."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from model.bundle import pack_gate
from model.gate import EmbeddingGate
from model.image import Tensor
from training.datasets.films import read_tensors
from training.datasets.labels import labels_of, rows_of
from training.datasets.sample import Part, read_samples
from training.graphs.embedding import FittedGate, fit_gate
from training.graphs.export_facts import ExportFacts, GateFacts, Variant, Variants, write_export_facts
from training.graphs.graph import export_graph, graph_outputs, pack_graph
from training.graphs.quantisation import quantise
from training.graphs.served import EMBEDDING, ServedNetwork, margins, prepare_for_export
from training.graphs.variants import Evidence, choose_variant, measure_quantised, measure_reference
from training.learning.network import TriageNetwork
from training.statistics.calibration import fit_temperature, prior_shift
from training.step import StepContext

# Activation ranges settle within some hundred films; the gate's statistics have at most 512 dimensions.
_RANGE_FILMS = 256
_GATE_FILMS = 4096
_BLOCK = 32


def run(context: StepContext, output: Path) -> None:
    """Write one graph for each variant of the recipe, ``export.json``, and ``gate.npz`` where there is a gate.

    Batch normalisation is folded and weights are rounded first; the temperature is fitted on calibrate patients for
    that rounded network and becomes part of every graph. All variants are judged on calibrate films; no test film is
    looked at.

    Raises
    ------
    ParityError
        If the fp32 graph and the network differ by more than the recipe's tolerance on any of its parity films.
    TrainingDiverged
        If no temperature calibrates the network.
    """
    recipe = context.order.recipe
    evidence = _evidence(context)
    prepared = _trained_network(context)
    temperature = fit_temperature(margins(prepared, evidence.batches()), evidence.labels)
    prevalence = float(evidence.labels.mean())
    shift = prior_shift(recipe.export.site_prevalence, prevalence)
    gate = fit_gate(_training_films(context, _GATE_FILMS), recipe.gate) if recipe.gate.dimensions else None
    embedding = None if gate is None else gate.embedding
    served = ServedNetwork(prepared, temperature=temperature, prior_shift=shift, embedding=embedding).eval()
    graphs, variants = _exported(context, served, evidence)
    ships, why = choose_variant(recipe.export, variants)
    facts = ExportFacts(
        ships=ships,
        why=why,
        opset=recipe.export.opset,
        temperature=temperature,
        prior_shift=shift,
        calibrate_prevalence=prevalence,
        variants=variants,
        gate=None if gate is None else _gate_facts(context, gate, graphs[ships], evidence),
    )
    for variant, graph in graphs.items():
        (output / context.run.graph(variant).name).write_bytes(graph)
    if gate is not None:
        (output / context.run.gate.name).write_bytes(pack_gate(gate.arrays))
    write_export_facts(output / context.run.export_facts.name, facts)
    _print(context, facts)


def _evidence(context: StepContext) -> Evidence:
    recipe = context.order.recipe
    table = read_samples(context.run.samples)
    rows = rows_of(table, Part.CALIBRATE, leave_out_disputed=recipe.data.leave_out_disputed)
    return Evidence(
        path=context.run.tensors(recipe.preprocessing.size),
        rows=rows,
        labels=labels_of(table)[rows],
        checked=recipe.export.parity_films,
        threads=context.threads,
    )


def _training_films(context: StepContext, at_most: int) -> Tensor:
    recipe = context.order.recipe
    rows = rows_of(read_samples(context.run.samples), Part.TRAIN, leave_out_disputed=recipe.data.leave_out_disputed)
    chosen = np.sort(np.random.default_rng(recipe.seed).permutation(rows)[:at_most])
    return read_tensors(context.run.tensors(recipe.preprocessing.size), chosen.tolist())


def _exported(context: StepContext, served: ServedNetwork, evidence: Evidence) -> tuple[dict[Variant, bytes], Variants]:
    recipe = context.order.recipe.export
    proto = export_graph(served, size=context.order.recipe.preprocessing.size, opset=recipe.opset)
    fp32 = pack_graph(proto, half_precision_weights=recipe.half_precision_weights)
    reference = measure_reference(served, fp32, evidence, tolerance=recipe.parity_tolerance)
    if "int8" not in recipe.variants:
        return {"fp32": fp32}, Variants(fp32=reference)
    films = _training_films(context, _RANGE_FILMS)
    quantised = quantise(proto, np.array_split(films, range(_BLOCK, len(films), _BLOCK)))
    int8 = pack_graph(quantised, half_precision_weights=recipe.half_precision_weights)
    facts = measure_quantised(int8, fp32, evidence, base=reference.explanation_base, range_films=len(films))
    return {"fp32": fp32, "int8": int8}, Variants(fp32=reference, int8=facts)


def _gate_facts(context: StepContext, gate: FittedGate, graph: bytes, evidence: Evidence) -> GateFacts:
    answers = graph_outputs(graph, evidence.batches(), threads=context.threads, names=(EMBEDDING,))
    distances = EmbeddingGate(mean=gate.arrays.mean, covariance=gate.arrays.covariance, limit=gate.limit).distances(
        answers[EMBEDDING]
    )
    recipe = context.order.recipe.gate
    return GateFacts(
        sha256=hashlib.sha256(pack_gate(gate.arrays)).hexdigest(),
        limit=gate.limit,
        percentile=recipe.percentile,
        films=gate.films,
        dimensions=recipe.dimensions,
        calibrate_films=len(distances),
        calibrate_films_beyond=int(np.sum(~(distances <= gate.limit))),
    )


def _trained_network(context: StepContext) -> TriageNetwork:
    recipe = context.order.recipe
    network = TriageNetwork(recipe.network)
    network.load_state_dict(torch.load(context.run.network, map_location="cpu", weights_only=True))
    return prepare_for_export(network, half_precision_weights=recipe.export.half_precision_weights)


def _print(context: StepContext, facts: ExportFacts) -> None:
    fp32, int8 = facts.variants.fp32, facts.variants.int8
    context.console.print(
        f"  fp32: {fp32.graph_bytes / 1e6:.1f} MB, temperature {facts.temperature:.3f}, parity "
        f"{fp32.parity_max_difference:.1e} on {fp32.parity_films} films, map complete to "
        f"{fp32.completeness_max_difference:.1e}"
    )
    if int8 is not None:
        context.console.print(
            f"  int8: {int8.graph_bytes / 1e6:.1f} MB, probabilities differ by {int8.max_difference:.4f} at most and "
            f"{int8.mean_difference:.4f} on average, map complete to {int8.completeness_max_difference:.1e}, "
            f"{int8.milliseconds:.1f} ms a film against {int8.fp32_milliseconds:.1f}"
        )
    if facts.gate is not None:
        context.console.print(
            f"  gate: {facts.gate.calibrate_films_beyond} of {facts.gate.calibrate_films} calibrate films lie beyond "
            f"its limit, which was set on {facts.gate.films} training films"
        )
    context.console.print(f"  ships {facts.ships}: {facts.why}")
