"""Last step: graph, figures, card and golden inputs become a bundle, if every check holds.

The page and the plots of the report stay in the run: a bundle is what a worker loads, and lives in a git history.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from model.bundle import CARD_FILE, MANIFEST_FILE, REPORT_FILE, pack_golden, read_bundle, write_bundle
from model.demographics import encode_age_sex
from model.errors import BundleError
from model.image import GrayImage
from model.manifest import (
    GATE_FILE,
    GOLDEN_FILE,
    NETWORK_FILE,
    Certificate,
    Explanation,
    GateStatistics,
    Manifest,
    OperatingPoint,
)
from model.phantom import chest_phantom
from model.preprocessing import PreprocessingSpec, preprocess
from training.datasets.inputs import Inputs, read_inputs
from training.datasets.labels import rows_of
from training.datasets.sample import Part, read_samples
from training.errors import PublishRefused
from training.graphs.certification import points_of, require_certified, require_recomputed, require_unrefuted
from training.graphs.export_facts import ExportFacts, read_export_facts
from training.graphs.graph import score_graph
from training.graphs.publish_checks import (
    PARITY_AT_MOST,
    require_faithful,
    require_one_graph,
    require_own_gate,
    require_small,
    require_unleaked,
)
from training.graphs.served import AGE_SEX, CAM, EMBEDDING, FILM, FINDINGS, PROBABILITY
from training.graphs.serving_checks import RESCORED_FILMS, WrittenDown, require_served
from training.provenance import code_commit
from training.reporting.card import write_card
from training.reporting.origins import data_sentence, pretraining_sentence
from training.statistics.scored_films import read_scored_films
from training.statistics.tolerances import GOLDEN_TOLERANCE
from training.step import StepContext

# Of the golden films: known ages and sexes of each kind, and every way not to know them.
_GOLDEN_PATIENTS: Final = (
    (None, None), (0, "F"), (24, "M"), (41, "F"), (None, "M"), (63, None), (78, "M"), (101, "F"),
)  # fmt: skip


def run(context: StepContext, output: Path) -> None:
    """Write the bundle to the context's destination, and ``published.json`` with its digest.

    Raises
    ------
    PublishRefused
        If parts of the split share a patient; parity, completeness or int8's AUC failed; a threshold was not certified
        on the graph that ships, is not what the calibrate scores give, or is refuted by the test patients; the gate is
        not the one measured, or turns chest films away; the bundle is too large; its own runtime scores golden inputs,
        test or calibrate films otherwise than the run wrote down; or the destination holds anything else than this very
        bundle. The message begins with the name of the check.
    """
    recipe, facts = context.order.recipe, read_export_facts(context.run.export_facts)
    points = json.loads(context.run.operating_points.read_text(encoding="utf-8"))
    report = json.loads(context.run.report.read_text(encoding="utf-8"))
    graph = context.run.graph(facts.ships).read_bytes()
    require_unleaked(report, recipe)
    require_faithful(facts, recipe)
    require_one_graph(graph, facts, points, report)
    require_own_gate(context.run.gate.read_bytes() if context.run.gate.exists() else None, facts)
    _require_certified(context, facts, points["variants"][facts.ships]["points"], report)
    report["recipe"] = recipe.model_dump(mode="json")
    report["commits"] = context.run.commits() | {"publish": code_commit()}
    golden = golden_inputs(recipe.preprocessing, with_age_sex=recipe.network.age_sex)
    contents = _contents(context, facts, graph, golden, report)
    total = require_small(contents)
    expected = score_graph(graph, [golden], threads=context.threads)
    manifest = _manifest(context, facts, report, contents, tuple(expected.tolist()))
    _require_served(context, facts, manifest, contents)
    digest = _write(context.destination, manifest, contents)
    published = {"bundle": str(context.destination), "digest": digest, "bytes": total, "variant": facts.ships}
    (output / context.run.published.name).write_text(json.dumps(published, indent=2) + "\n", encoding="utf-8")
    context.console.print(f"  {context.destination}: {facts.ships}, {total / 1e6:.1f} MB, digest {digest}")


def golden_inputs(spec: PreprocessingSpec, *, with_age_sex: bool) -> Inputs:
    """Return the eight golden inputs: drawings of invented patients, because no real film may be shipped.

    They are scored again before anything is served and never gated: no gate knows drawings for chests.
    """
    count = len(_GOLDEN_PATIENTS)
    drawings = [np.rint(chest_phantom(seed, opacity=seed / count) * 65535) for seed in range(count)]
    images = [GrayImage(pixels=drawing.astype(np.uint16), black=0.0, white=65535.0) for drawing in drawings]
    films = [preprocess(image, spec) for image in images]
    age_sex = np.stack([encode_age_sex(age, sex) for age, sex in _GOLDEN_PATIENTS])
    return Inputs(films=np.stack(films), age_sex=age_sex if with_age_sex else None)


def _contents(
    context: StepContext, facts: ExportFacts, graph: bytes, golden: Inputs, report: dict[str, Any]
) -> dict[str, bytes]:
    contents = {
        NETWORK_FILE: graph,
        GOLDEN_FILE: pack_golden(golden.films, golden.age_sex),
        REPORT_FILE: (json.dumps(report, indent=2) + "\n").encode(),
        CARD_FILE: write_card(context.order.recipe, report).encode(),
    }
    if facts.gate is not None:
        contents[GATE_FILE] = context.run.gate.read_bytes()
    return contents


def _require_certified(
    context: StepContext, facts: ExportFacts, points: list[dict[str, Any]], report: dict[str, Any]
) -> None:
    recipe, calibrate = context.order.recipe, read_scored_films(context.run.calibrate_scores)
    require_certified(points, recipe)
    require_recomputed(points, points_of(calibrate, facts.ships, recipe, facts, report["provenance"]))
    require_unrefuted(report)


def _require_served(context: StepContext, facts: ExportFacts, manifest: Manifest, contents: dict[str, bytes]) -> None:
    recipe, run = context.order.recipe, context.run
    is_left_out = recipe.data.leave_out_disputed
    test = _written_down(context, Part.TEST, run.test_scores, leave_out_disputed=False)
    calibrate = _written_down(context, Part.CALIBRATE, run.calibrate_scores, leave_out_disputed=is_left_out)
    # Written and read back first, so that it is judged as a worker would load it.
    with tempfile.TemporaryDirectory(prefix="cxr-publish-") as folder:
        candidate = Path(folder) / "bundle"
        write_bundle(candidate, manifest, contents)
        tolerance = min(recipe.export.parity_tolerance, PARITY_AT_MOST)
        require_served(candidate, facts.ships, test=test, calibrate=calibrate, tolerance=tolerance)


def _written_down(context: StepContext, part: Part, scores: Path, *, leave_out_disputed: bool) -> WrittenDown:
    recipe, table, films = context.order.recipe, read_samples(context.run.samples), read_scored_films(scores)
    rows = rows_of(table, part, leave_out_disputed=leave_out_disputed)
    if [table[row][0].id for row in rows] != films.facts.ids.tolist():
        raise PublishRefused(f"serving: {scores.name} does not list the films of the part {part}")
    first = np.arange(len(rows)) < RESCORED_FILMS
    tensors = context.run.tensors(recipe.preprocessing.size)
    inputs = read_inputs(tensors, table, rows[:RESCORED_FILMS], with_age_sex=recipe.network.age_sex)
    return WrittenDown(part=part, inputs=inputs, films=films.where(first))


def _manifest(
    context: StepContext,
    facts: ExportFacts,
    report: dict[str, Any],
    contents: dict[str, bytes],
    golden: tuple[float, ...],
) -> Manifest:
    recipe, document = context.order.recipe, report["operating_points"]
    return Manifest(
        schema_version=1,
        name=recipe.bundle.name,
        version=recipe.bundle.version,
        labels=recipe.network.findings,
        preprocessing=recipe.preprocessing,
        input_name=FILM,
        output_name=PROBABILITY,
        findings_output_name=FINDINGS if recipe.network.findings else None,
        age_sex_input_name=AGE_SEX if recipe.network.age_sex else None,
        probability_rule="softmax" if recipe.network.any_finding else "any_of_findings",
        explanation=Explanation(output_name=CAM, base=facts.variants.named(facts.ships).explanation_base),
        gate=_gate_statistics(facts),
        files=dict.fromkeys(contents, ""),
        opset=facts.opset,
        precision=facts.ships,
        temperature=facts.temperature,
        calibration_offset=facts.calibration_offset,
        prior_shift=facts.prior_shift,
        operating_points=tuple(
            _operating_point(point, report["test"]) for point in document["variants"][facts.ships]["points"]
        ),
        default_operating_point=document["default"],
        golden_probabilities=golden,
        golden_tolerance=GOLDEN_TOLERANCE[facts.ships],
        training_data=f"{recipe.bundle.training_data}: {data_sentence(report['provenance'])}. "
        f"{pretraining_sentence(report['provenance'])}",
        licence=recipe.bundle.licence,
        recipe_sha256=recipe.sha256,
        commit=report["provenance"]["commit"],
    )


def _gate_statistics(facts: ExportFacts) -> GateStatistics | None:
    gate = facts.gate
    if gate is None:
        return None
    return GateStatistics(output_name=EMBEDDING, limit=gate.limit, percentile=gate.percentile, films=gate.films)


def _operating_point(point: dict[str, Any], test: dict[str, Any]) -> OperatingPoint:
    measured, certificate = test["operating_points"][point["name"]], point["certificate"]
    return OperatingPoint(
        name=point["name"],
        threshold=point["threshold"],
        evidence=f"{point['evidence']}. Figures: {test['films']} films of {test['patients']} test patients",
        certificate=None if certificate is None else Certificate.model_validate(certificate),
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
        is_the_same = existing.manifest.model_copy(update={"files": manifest.files}) == manifest
        if is_the_same and existing.network == contents[NETWORK_FILE]:
            return existing.digest
    try:
        return write_bundle(destination, manifest, contents)
    except FileExistsError as error:
        raise PublishRefused(str(error)) from error
    except OSError as error:
        raise PublishRefused(f"cannot write {destination} ({error.strerror})") from error
