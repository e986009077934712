"""The line for a network that answers findings alone and takes age and sex, from drawn films to what is served."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from model.bundle import Bundle, read_bundle
from model.runtime import Scorer
from tests.support.datasets import fourteen_findings, write_collection
from tests.support.training_runs import context_of, printed, tiny_recipe
from training.datasets.inputs import read_inputs
from training.datasets.nih import FINDINGS
from training.datasets.sample import Part, read_samples
from training.line import run_line
from training.step import StepContext

RECIPE = tiny_recipe(
    network={
        "architecture": "convolutional",
        "filters": [4, 8],
        "block_dropout": 0.1,
        "pooling": "flatten",
        "hidden": [16, 8],
        "activation": "relu",
        "any_finding": False,
        "findings": list(FINDINGS),
        "age_sex": True,
    },
    loss={"any_weight": 0.0, "findings_weight": 1.0},
    export={"variants": ["fp32", "int8"]},
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StepContext:
    folder = tmp_path_factory.mktemp("data")
    data = write_collection(folder, patients=28, pixels=64, described=fourteen_findings)
    context = context_of(tmp_path_factory.mktemp("run"), RECIPE, data)
    run_line(context)
    return context


@pytest.fixture(scope="module")
def bundle(finished: StepContext) -> Bundle:
    return read_bundle(finished.destination)


def test_the_manifest_says_what_the_probability_rests_on_and_what_the_graph_takes(
    finished: StepContext, bundle: Bundle
) -> None:
    facts = json.loads(finished.run.export_facts.read_text())
    manifest = bundle.manifest
    assert manifest.probability_rule == "any_of_findings"
    assert manifest.age_sex_input_name == "age_sex"
    assert manifest.labels == FINDINGS
    assert (manifest.temperature, manifest.calibration_offset) == (facts["temperature"], facts["calibration_offset"])
    assert manifest.calibration_offset != 0
    assert f"calibration offset {manifest.calibration_offset:+.3f}" in printed(finished)


def test_both_graphs_explain_their_margins_entirely_with_each_films_own_age_and_sex(finished: StepContext) -> None:
    variants = json.loads(finished.run.export_facts.read_text())["variants"]
    assert variants["fp32"]["parity_max_difference"] <= 1e-5
    assert all(variant["completeness_max_difference"] <= 1e-5 for variant in variants.values())


def test_the_bundle_serves_age_and_sex_as_the_report_says(finished: StepContext, bundle: Bundle) -> None:
    scorer, table = Scorer(bundle), read_samples(finished.run.samples)
    scorer.verify_golden()
    rows = [row for row, (_, part) in enumerate(table) if part is Part.TEST]
    inputs = read_inputs(finished.run.tensors(32), table, rows, with_age_sex=True)
    with finished.run.test_scores.open(newline="") as file:
        reported = [float(row["probability"]) for row in csv.DictReader(file)]
    served = scorer.score(inputs.films, inputs.age_sex)
    assert [score.probability for score in served] == pytest.approx(reported, abs=1e-6)
    assert [[finding.label for finding in score.findings] for score in served] == [list(FINDINGS)] * len(rows)
    silent = [score.findings[0].probability for score in scorer.score(inputs.films)]
    assert silent != pytest.approx([score.findings[0].probability for score in served], abs=1e-6)


def test_golden_inputs_know_and_do_not_know_age_and_sex(bundle: Bundle) -> None:
    assert bundle.golden_age_sex is not None
    unknown = np.isnan(bundle.golden_age_sex)
    assert {tuple(row) for row in unknown.tolist()} == {(False, False), (False, True), (True, False), (True, True)}
    assert set(bundle.golden_age_sex[~unknown[:, 1], 1]) == {0.0, 1.0}
