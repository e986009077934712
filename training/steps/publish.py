"""Last step: graph, figures, card and golden inputs become a bundle, if every check holds."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from model.bundle import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    NETWORK_FILE,
    REPORT_FILE,
    Bundle,
    Manifest,
    OperatingPoint,
    pack_golden,
    read_bundle,
    write_bundle,
)
from model.errors import BundleError
from model.image import GrayImage, Tensor
from model.phantom import chest_phantom
from model.preprocessing import PreprocessingSpec, preprocess
from model.runtime import Provider, Scorer
from training.card import write_card
from training.datasets.sample import Part, read_samples
from training.errors import PublishRefused
from training.films import read_tensors
from training.graph import INPUT_NAME, OUTPUT_NAME, score_graph
from training.labels import rows_of
from training.provenance import code_commit
from training.step import StepContext

_GOLDEN_FILMS = 8
_RESCORED_FILMS = 64
# DESIGN §7; the shipped bundle lives in a git history.
_BYTES_AT_MOST = 60_000_000


def run(context: StepContext, output: Path) -> None:
    """Write the bundle to the context's destination, and ``published.json`` with its digest.

    Raises
    ------
    PublishRefused
        If parts of the split share a patient, parity failed, the bundle's own runtime scores test films otherwise than
        the report says, the bundle is too large, or the destination holds anything else than this very bundle.
    """
    report = json.loads(context.run.report.read_text(encoding="utf-8"))
    _require_checks(report)
    report["recipe"] = context.order.recipe.model_dump(mode="json")
    report["commits"] = context.run.commits() | {"publish": code_commit()}
    graph = context.run.graph.read_bytes()
    golden = golden_tensors(context.order.recipe.preprocessing)
    contents = {
        NETWORK_FILE: graph,
        GOLDEN_FILE: pack_golden(golden),
        REPORT_FILE: (json.dumps(report, indent=2) + "\n").encode(),
        CARD_FILE: write_card(context.order.recipe, report).encode(),
    }
    total = sum(len(content) for content in contents.values())
    if total > _BYTES_AT_MOST:
        raise PublishRefused(f"the bundle has {total} bytes, allowed are {_BYTES_AT_MOST}; set half_precision_weights")
    expected = score_graph(graph, [golden], threads=context.threads)
    manifest = _manifest(context, report, contents, tuple(expected.tolist()))
    _require_served_as_reported(context, Bundle(manifest=manifest, digest="", network=graph, golden_tensors=golden))
    digest = _write(context.destination, manifest, contents)
    facts = {"bundle": str(context.destination), "digest": digest, "bytes": total}
    (output / context.run.published.name).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    context.console.print(f"  {context.destination}: {total / 1e6:.1f} MB, digest {digest}")


def golden_tensors(spec: PreprocessingSpec) -> Tensor:
    """Return the golden inputs ``(8, 1, s, s)`` uint8: drawings, because no real film may be shipped."""
    drawings = [chest_phantom(seed, opacity=seed / _GOLDEN_FILMS) for seed in range(_GOLDEN_FILMS)]
    return np.stack([preprocess(GrayImage(pixels=drawing, black=0.0, white=1.0), spec) for drawing in drawings])


def _require_checks(report: dict[str, Any]) -> None:
    shared = report["provenance"]["shared_patients"]
    if shared:
        raise PublishRefused(f"{shared} patients are in more than one part of the split; its figures mean nothing")
    export = report["export"]
    if export["parity_max_difference"] is None:
        raise PublishRefused("parity was not measured")
    if not export["parity_max_difference"] <= export["parity_tolerance"]:
        raise PublishRefused(f"parity is {export['parity_max_difference']:.1e}, not {export['parity_tolerance']:g}")


def _require_served_as_reported(context: StepContext, bundle: Bundle) -> None:
    with context.run.test_scores.open(newline="", encoding="utf-8") as file:
        reported = [float(row["probability"]) for row in csv.DictReader(file)][:_RESCORED_FILMS]
    rows = rows_of(read_samples(context.run.samples), Part.TEST, leave_out_disputed=False)[:_RESCORED_FILMS]
    tensors = read_tensors(context.run.tensors, rows)
    try:
        scorer = Scorer(bundle, provider=Provider.CPU, threads=context.threads)
        scorer.verify_golden()
    except BundleError as error:
        raise PublishRefused(f"the bundle cannot be served: {error}") from error
    served = [score.probability for score in scorer.score(tensors)]
    difference = float(np.abs(np.array(served) - np.array(reported)).max())
    if not difference <= context.order.recipe.export.parity_tolerance:
        raise PublishRefused(f"the bundle serves probabilities that differ by {difference:.1e} from its own report")


def _manifest(
    context: StepContext, report: dict[str, Any], contents: dict[str, bytes], golden: tuple[float, ...]
) -> Manifest:
    recipe, provenance = context.order.recipe, report["provenance"]
    return Manifest(
        schema_version=1,
        name=recipe.bundle.name,
        version=recipe.bundle.version,
        preprocessing=recipe.preprocessing,
        input_name=INPUT_NAME,
        output_name=OUTPUT_NAME,
        files=dict.fromkeys(contents, ""),
        opset=report["export"]["opset"],
        temperature=report["export"]["temperature"],
        operating_points=tuple(
            _operating_point(point, report["test"]) for point in report["operating_points"]["points"]
        ),
        default_operating_point=report["operating_points"]["default"],
        golden_probabilities=golden,
        training_data=recipe.bundle.training_data,
        licence=recipe.bundle.licence,
        recipe_sha256=recipe.sha256,
        commit=provenance["commit"],
    )


def _operating_point(point: dict[str, Any], test: dict[str, Any]) -> OperatingPoint:
    measured = test["operating_points"][point["name"]]
    return OperatingPoint(
        name=point["name"],
        threshold=point["threshold"],
        evidence=f"{point['evidence']}. Figures: {test['films']} films of {test['patients']} unseen patients",
        positives=test["unhealthy"],
        negatives=test["films"] - test["unhealthy"],
        sensitivity=measured["sensitivity"]["value"],
        specificity=measured["specificity"]["value"],
        f3=measured["f3"]["value"],
        f3_flag_everything=measured["f3_flag_everything"],
    )


def _write(destination: Path, manifest: Manifest, contents: dict[str, bytes]) -> str:
    if (destination / MANIFEST_FILE).exists():
        # A publish that died after the rename but before its stamp left exactly this bundle; anything else stays.
        try:
            existing = read_bundle(destination)
        except BundleError as error:
            raise PublishRefused(f"{destination} exists and is no whole bundle: {error}") from error
        if (
            existing.manifest.model_copy(update={"files": manifest.files}) == manifest
            and existing.network == (contents[NETWORK_FILE])
        ):
            return existing.digest
    try:
        return write_bundle(destination, manifest, contents)
    except FileExistsError as error:
        raise PublishRefused(str(error)) from error
    except OSError as error:
        raise PublishRefused(f"cannot write {destination} ({error.strerror})") from error
