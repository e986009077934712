"""Everything that must hold before a bundle may leave the run. Each refusal names its check.

Knows the files of a run and nothing of how bundles are written. What it compares was measured by earlier steps on the
very graph that ships; nothing here is taken on trust where it can be recomputed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from training.errors import PublishRefused
from training.graphs.export_facts import ExportFacts
from training.graphs.parity import COMPLETENESS_TOLERANCE, allowed_difference
from training.recipe import Recipe

# DESIGN §7; the shipped bundle lives in a git history.
BYTES_AT_MOST = 60_000_000
# What issue 3 allows, whatever a recipe says: a recipe may ask for more, never for less.
PARITY_AT_MOST = 1e-5
INT8_LOSS_AT_MOST = 0.002


def require_unleaked(report: Mapping[str, Any], recipe: Recipe) -> None:
    """Refuse a split that shares patients, or that would where the collection had a second film of any."""
    if recipe.data.split == "image":
        raise PublishRefused(
            "leakage: data.split is 'image', which keeps no patient in one part; only 'patient' may ship"
        )
    shared = report["provenance"]["shared_patients"]
    if shared:
        raise PublishRefused(f"leakage: {shared} patients are in more than one part of the split")


def require_faithful(facts: ExportFacts, recipe: Recipe) -> None:
    """Refuse a graph that does not answer as its network, explain its own margin, or keep the AUC it was cut from."""
    fp32, ships = facts.variants.fp32, facts.variants.named(facts.ships)
    if fp32.parity_max_difference is None:
        raise PublishRefused("parity: it was not measured")
    for name, difference in (fp32.parity | {"probability": fp32.parity_max_difference}).items():
        allowed = allowed_difference(name, min(fp32.parity_tolerance, PARITY_AT_MOST))
        if not difference <= allowed:
            raise PublishRefused(f"parity: {name} differs by {difference:.1e}, allowed is {allowed:g}")
    complete_to = min(ships.completeness_tolerance, COMPLETENESS_TOLERANCE)
    if not ships.completeness_max_difference <= complete_to:
        raise PublishRefused(
            f"completeness: the map of {facts.ships} misses its margin by {ships.completeness_max_difference:.1e}, "
            f"allowed is {complete_to:g}"
        )
    int8, allowed = facts.variants.int8, min(recipe.export.int8_auc_loss, INT8_LOSS_AT_MOST)
    if facts.ships == "int8" and (int8 is None or int8.auc_loss is None or not int8.auc_loss <= allowed):
        measured = "an unknown part" if int8 is None or int8.auc_loss is None else f"{int8.auc_loss:.4f}"
        raise PublishRefused(f"int8: it loses {measured} of AUC, allowed is {allowed:g}")


def require_one_graph(graph: bytes, facts: ExportFacts, points: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Refuse thresholds or figures that were made on another graph than the one that ships."""
    digest = hashlib.sha256(graph).hexdigest()
    if digest != facts.variants.named(facts.ships).sha256:
        raise PublishRefused(f"graph: {facts.ships}.onnx is not the file that export measured; repeat the step export")
    certified = points["variants"].get(facts.ships)
    if certified is None or certified.get("graph_sha256") != digest:
        raise PublishRefused(f"certification: the thresholds were not made on {facts.ships}.onnx; repeat threshold")
    if report["operating_points"] != points or not _says(report["export"], facts):
        raise PublishRefused("report: it is about another export or other thresholds; repeat the step evaluate")


def _says(document: Any, facts: ExportFacts) -> bool:
    # Parsed, because a report written before there was an offset has no key for it.
    try:
        return ExportFacts.model_validate(document) == facts
    except ValidationError:
        return False


def require_own_gate(gate: bytes | None, facts: ExportFacts) -> None:
    """Refuse gate statistics that are not those that export measured."""
    if facts.gate is None:
        return
    if gate is None or hashlib.sha256(gate).hexdigest() != facts.gate.sha256:
        raise PublishRefused("gate: gate.npz is not the file that export measured; repeat the step export")


def require_small(contents: Mapping[str, bytes]) -> int:
    """Return the bytes of all files; refuse more than a bundle may have."""
    total = sum(len(content) for content in contents.values())
    if total > BYTES_AT_MOST:
        raise PublishRefused(
            f"size: the bundle has {total} bytes, allowed are {BYTES_AT_MOST}; set half_precision_weights, or ship int8"
        )
    return total
