"""Sixth step: the trained network becomes the ONNX files that may ship, held to their torch original on real films."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from model.bundle import pack_gate
from model.gate import EmbeddingGate
from training.datasets.films import read_tensors
from training.datasets.inputs import input_batches
from training.datasets.labels import Table, labels_of, rows_of
from training.datasets.sample import Part, read_samples
from training.graphs.embedding import FittedGate, fit_gate
from training.graphs.export_facts import ExportFacts, GateFacts, Variant, Variants, write_export_facts
from training.graphs.folding import prepare_for_export
from training.graphs.graph import export_graph, graph_outputs, pack_graph
from training.graphs.quantisation import quantise
from training.graphs.served import EMBEDDING, ServedNetwork, margins
from training.graphs.variants import Evidence, choose_variant, measure_quantised, measure_reference
from training.networks.network import TriageNetwork
from training.statistics.calibration import Calibration, fit_platt, fit_temperature, prior_shift
from training.step import StepContext

# Activation ranges settle within some hundred films; the gate's statistics have at most 512 dimensions.
_RANGE_FILMS = 256
_GATE_FILMS = 4096
_BLOCK = 32


def run(context: StepContext, output: Path) -> None:
    """Write one graph for each variant of the recipe, ``export.json``, and ``gate.npz`` where there is a gate.

    Batch normalisation is folded and weights are rounded first; temperature, and the offset of findings alone, are
    fitted on calibrate patients for that network and part of every graph. No test film is looked at.

    Raises
    ------
    ParityError
        If the fp32 graph and the network differ by more than the recipe's tolerance on any of its parity films.
    TrainingDiverged, DatasetError
        If nothing calibrates the network on these films.
    RecipeError
        If int8 is asked for of a network that has nothing to put into eight bits.
    """
    recipe = context.order.recipe
    evidence = _evidence(context)
    prepared = _trained_network(context)
    calibration = _calibration(prepared, evidence)
    prevalence = float(evidence.labels.mean())
    shift = prior_shift(recipe.export.site_prevalence, prevalence)
    gate = _fitted_gate(context)
    graphs, variants = _exported(context, _served(prepared, calibration, shift, gate), evidence)
    ships, why = choose_variant(recipe.export, variants)
    facts = ExportFacts(
        ships=ships,
        why=why,
        opset=recipe.export.opset,
        temperature=calibration.temperature,
        calibration_offset=calibration.offset,
        calibration_remark=calibration.remark,
        prior_shift=shift,
        calibrate_prevalence=prevalence,
        variants=variants,
        gate=None if gate is None else _gate_facts(context, gate, graphs[ships], evidence),
    )
    _write(context, output, graphs, gate)
    write_export_facts(output / context.run.export_facts.name, facts)
    _print(context, facts)


def _write(context: StepContext, output: Path, graphs: dict[Variant, bytes], gate: FittedGate | None) -> None:
    for variant, graph in graphs.items():
        (output / context.run.graph(variant).name).write_bytes(graph)
    if gate is not None:
        (output / context.run.gate.name).write_bytes(pack_gate(gate.arrays))


def _evidence(context: StepContext) -> Evidence:
    recipe = context.order.recipe
    table = read_samples(context.run.samples)
    rows = rows_of(table, Part.CALIBRATE, leave_out_disputed=recipe.data.leave_out_disputed)
    return Evidence(
        path=context.run.tensors(recipe.preprocessing.size),
        table=table,
        rows=rows,
        labels=labels_of(table)[rows],
        checked=recipe.export.parity_films,
        threads=context.threads,
        with_age_sex=recipe.network.age_sex,
    )


def _calibration(prepared: TriageNetwork, evidence: Evidence) -> Calibration:
    found = margins(prepared, evidence.batches())
    if prepared.recipe.any_finding:
        return Calibration(temperature=fit_temperature(found, evidence.labels))
    # Findings alone were never taught how many films have any of them; that needs an offset.
    return fit_platt(found, evidence.labels)


def _served(prepared: TriageNetwork, calibration: Calibration, shift: float, gate: FittedGate | None) -> ServedNetwork:
    return ServedNetwork(
        prepared,
        temperature=calibration.temperature,
        calibration_offset=calibration.offset,
        prior_shift=shift,
        embedding=None if gate is None else gate.embedding,
    ).eval()


def _fitted_gate(context: StepContext) -> FittedGate | None:
    recipe = context.order.recipe
    if not recipe.gate.dimensions:
        return None
    rows = _training_rows(context, read_samples(context.run.samples), _GATE_FILMS)
    return fit_gate(read_tensors(context.run.tensors(recipe.preprocessing.size), rows), recipe.gate)


def _training_rows(context: StepContext, table: Table, at_most: int) -> list[int]:
    recipe = context.order.recipe
    rows = rows_of(table, Part.TRAIN, leave_out_disputed=recipe.data.leave_out_disputed)
    chosen: list[int] = np.sort(np.random.default_rng(recipe.seed).permutation(rows)[:at_most]).tolist()
    return chosen


def _exported(context: StepContext, served: ServedNetwork, evidence: Evidence) -> tuple[dict[Variant, bytes], Variants]:
    recipe, size = context.order.recipe.export, context.order.recipe.preprocessing.size
    proto = export_graph(served, size=size, opset=recipe.opset)
    fp32 = pack_graph(proto, half_precision_weights=recipe.half_precision_weights)
    reference = measure_reference(served, fp32, evidence, tolerance=recipe.parity_tolerance)
    if "int8" not in recipe.variants:
        return {"fp32": fp32}, Variants(fp32=reference)
    rows = _training_rows(context, evidence.table, _RANGE_FILMS)
    tensors, with_age_sex = context.run.tensors(size), evidence.with_age_sex
    films = input_batches(tensors, evidence.table, rows, with_age_sex=with_age_sex, size=_BLOCK)
    quantised = quantise(proto, films, stem=served.network.backbone.stem)
    int8 = pack_graph(quantised, half_precision_weights=recipe.half_precision_weights)
    facts = measure_quantised(int8, fp32, evidence, network=served.network, range_films=len(rows))
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
    network = TriageNetwork(recipe.network, size=recipe.preprocessing.size)
    network.load_state_dict(torch.load(context.run.network, map_location="cpu", weights_only=True))
    return prepare_for_export(network, half_precision_weights=recipe.export.half_precision_weights)


def _print(context: StepContext, facts: ExportFacts) -> None:
    fp32, int8 = facts.variants.fp32, facts.variants.int8
    context.console.print(
        f"  fp32: {fp32.graph_bytes / 1e6:.1f} MB, temperature {facts.temperature:.3f}, calibration offset "
        f"{facts.calibration_offset:+.3f}, parity {fp32.parity_max_difference:.1e} on {fp32.parity_films} films, map "
        f"complete to {fp32.completeness_max_difference:.1e}"
    )
    if facts.calibration_remark is not None:
        context.console.print(f"  WARNING: {facts.calibration_remark}", style="bold red")
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
