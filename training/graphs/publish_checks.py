"""Everything that must hold before a bundle may leave the run. Each refusal names its check.

Knows the files of a run and nothing of how bundles are written. What it compares was measured by earlier steps on the
very graph that ships; nothing here is taken on trust where it can be recomputed.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from model.bundle import read_bundle
from model.errors import BundleError
from model.image import Tensor
from model.manifest import Certificate
from model.runtime import Provider, Scorer
from training.errors import PublishRefused
from training.graphs.export_facts import ExportFacts
from training.graphs.parity import allowed_difference
from training.recipe import Recipe, certified_name
from training.run_directory import RunDirectory
from training.statistics.thresholds import FLAG_EVERYTHING

# DESIGN §7; the shipped bundle lives in a git history.
BYTES_AT_MOST = 60_000_000
RESCORED_FILMS = 64
# The bound is recomputed with the same function in the same precision; only the way through JSON lies between.
_BOUND_SLACK = 1e-9


def require_unleaked(report: Mapping[str, Any]) -> None:
    """Refuse a split that shares patients."""
    shared = report["provenance"]["shared_patients"]
    if shared:
        raise PublishRefused(f"leakage: {shared} patients are in more than one part of the split")


def require_faithful(facts: ExportFacts, recipe: Recipe) -> None:
    """Refuse a graph that does not answer as its network, explain its own margin, or keep the AUC it was cut from."""
    fp32, ships = facts.variants.fp32, facts.variants.named(facts.ships)
    if fp32.parity_max_difference is None:
        raise PublishRefused("parity: it was not measured")
    for name, difference in (fp32.parity | {"probability": fp32.parity_max_difference}).items():
        allowed = allowed_difference(name, fp32.parity_tolerance)
        if not difference <= allowed:
            raise PublishRefused(f"parity: {name} differs by {difference:.1e}, allowed is {allowed:g}")
    if not ships.completeness_max_difference <= ships.completeness_tolerance:
        raise PublishRefused(
            f"completeness: the map of {facts.ships} misses its margin by {ships.completeness_max_difference:.1e}, "
            f"allowed is {ships.completeness_tolerance:g}"
        )
    int8 = facts.variants.int8
    if facts.ships == "int8" and (
        int8 is None or int8.auc_loss is None or not int8.auc_loss <= recipe.export.int8_auc_loss
    ):
        measured = "an unknown part" if int8 is None or int8.auc_loss is None else f"{int8.auc_loss:.4f}"
        raise PublishRefused(f"int8: it loses {measured} of AUC, allowed is {recipe.export.int8_auc_loss:g}")


def require_one_graph(graph: bytes, facts: ExportFacts, points: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Refuse thresholds or figures that were made on another graph than the one that ships."""
    digest = hashlib.sha256(graph).hexdigest()
    if digest != facts.variants.named(facts.ships).sha256:
        raise PublishRefused(f"graph: {facts.ships}.onnx is not the file that export measured; repeat the step export")
    certified = points["variants"].get(facts.ships)
    if certified is None or certified.get("graph_sha256") != digest:
        raise PublishRefused(f"certification: the thresholds were not made on {facts.ships}.onnx; repeat threshold")
    if report["operating_points"] != points or report["export"] != facts.document():
        raise PublishRefused("report: it is about another export or other thresholds; repeat the step evaluate")


def require_certified(points: list[dict[str, Any]], recipe: Recipe) -> None:
    """Refuse a certified point whose certificate is missing, or does not follow from its own numbers."""
    asked = {certified_name(sensitivity): sensitivity for sensitivity in recipe.threshold.certified}
    for point in points:
        name, given = point["name"], point["certificate"]
        if given is not None:
            _require_sound(name, Certificate.model_validate(given))
        if name not in asked or point["threshold"] == FLAG_EVERYTHING:
            continue
        if given is None:
            raise PublishRefused(f"certification: {name} has a threshold above 0 and no certificate")
        promised = (1 - asked[name], 1 - recipe.threshold.confidence)
        if not np.allclose((given["alpha"], given["delta"]), promised, rtol=0, atol=_BOUND_SLACK):
            raise PublishRefused(f"certification: {name} is certified for another promise than the recipe's")
    missing = set(recipe.threshold.names) - {point["name"] for point in points}
    if missing:
        raise PublishRefused(f"certification: the operating points {', '.join(sorted(missing))} were not made")


def _require_sound(name: str, certificate: Certificate) -> None:
    # The miss rate below the order statistic s_(k+1) of n positives is distributed as Beta(k + 1, n - k) (ML.md §B).
    misses, positives = certificate.misses, certificate.positives
    bound = float(beta.ppf(1 - certificate.delta, misses + 1, positives - misses)) if misses < positives else 1.0
    if not math.isclose(bound, certificate.miss_bound, rel_tol=0, abs_tol=_BOUND_SLACK):
        raise PublishRefused(
            f"certification: {misses} misses of {positives} bound the miss rate of {name} by {bound:.4f}, "
            f"its certificate says {certificate.miss_bound:.4f}"
        )
    if not bound <= certificate.alpha + _BOUND_SLACK:
        raise PublishRefused(
            f"certification: {name} promises a miss rate of {certificate.alpha:g} at most, its bound is {bound:.4f}"
        )


def require_small(contents: Mapping[str, bytes]) -> int:
    """Return the bytes of all files; refuse more than a bundle may have."""
    total = sum(len(content) for content in contents.values())
    if total > BYTES_AT_MOST:
        raise PublishRefused(
            f"size: the bundle has {total} bytes, allowed are {BYTES_AT_MOST}; set half_precision_weights, or ship int8"
        )
    return total


def require_served_as_reported(run: RunDirectory, directory: Path, tensors: Tensor, *, tolerance: float) -> None:
    """Refuse a bundle that the serving runtime scores otherwise than the report did; ``tensors`` are its first films.

    Golden inputs, probabilities and findings are scored again, with the worker's own code.
    """
    with run.test_scores.open(newline="", encoding="utf-8") as file:
        reported = list(csv.DictReader(file))[: len(tensors)]
    try:
        bundle = read_bundle(directory)
        scorer = Scorer(bundle, provider=Provider.CPU, threads=1)
        scorer.verify_golden()
    except BundleError as error:
        raise PublishRefused(f"serving: the bundle cannot be served: {error}") from error
    columns = ["probability", *(f"score_{label}" for label in bundle.manifest.labels)]
    expected = np.array([[float(row[column]) for column in columns] for row in reported])
    served = np.array(
        [[score.probability, *(finding.probability for finding in score.findings)] for score in scorer.score(tensors)]
    )
    difference = float(np.abs(served - expected).max())
    if not difference <= tolerance:
        raise PublishRefused(f"serving: the bundle's scores differ by {difference:.1e} from its own report")
