"""The evaluation of a network of findings with age and sex, whose head alone learnt, says what such a network is."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.datasets import FINDINGS, fourteen_findings, write_collection
from tests.support.training_runs import context_of, tiny_recipe
from training.datasets.sample import Part, read_samples
from training.line import run_step
from training.networks.network import TriageNetwork
from training.provenance import weights_sha256
from training.run_directory import STEP_NAMES
from training.step import StepContext
from training.steps import evaluate

PATIENTS = 60
RECIPE = tiny_recipe(
    data={"unreadable_images": "skip"},
    network={
        "architecture": "convolutional",
        "filters": [4, 8],
        "hidden": [16, 8],
        "activation": "relu",
        "any_finding": False,
        "findings": list(FINDINGS),
        "age_sex": True,
    },
    loss={"any_weight": 0.0, "findings_weight": 1.0},
    finetune=[],
    gate={"dimensions": 0},
    evaluation={"findings_threshold": 0.2, "activation_maps": True},
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> StepContext:
    root = tmp_path_factory.mktemp("evaluation")
    data = write_collection(root / "data", patients=PATIENTS, pixels=64, described=fourteen_findings)
    min((data / "images").iterdir()).write_bytes(b"no film")
    torch.manual_seed(3)
    init = root / "backbone.pt"
    torch.save(TriageNetwork(RECIPE.network, size=32).backbone.state_dict(), init)
    context = context_of(root / "run", RECIPE, data, init=init)
    context = replace(context, order=context.order.model_copy(update={"init_sha256": weights_sha256(init)}))
    for name in STEP_NAMES[: STEP_NAMES.index("evaluate") + 1]:
        run_step(context, name)
    return context


@pytest.fixture(scope="module")
def report(evaluated: StepContext) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(evaluated.run.report.read_text())
    return read


def test_all_findings_are_judged_at_the_recipes_threshold_beside_the_shares_of_train_films(
    evaluated: StepContext, report: dict[str, Any]
) -> None:
    section = report["multilabel"]
    assert section["threshold"] == 0.2
    assert [found["finding"] for found in section["findings"]] == list(FINDINGS)
    train = [sample for sample, part in read_samples(evaluated.run.samples) if part is Part.TRAIN]
    shares = [np.mean([finding in sample.findings for sample in train]) for finding in FINDINGS]
    assert max(shares) < 0.5
    assert section["prevalence_only"]["binary_accuracy"] == section["all_negative_accuracy"]
    assert section["prevalence_only"]["flattened_auc"] is not None


def test_the_network_is_described_with_its_parameters(report: dict[str, Any]) -> None:
    made = report["network"]
    assert (made["architecture"], made["filters"], made["age_sex"], made["size"]) == ("convolutional", [4, 8], True, 32)
    convolutions, head = (9 * 4 + 4) + (9 * 4 * 8 + 8), (10 * 16 + 16) + (16 * 8 + 8) + (8 * 14 + 14)
    assert made["parameters"] == convolutions + head


def test_the_head_before_it_learnt_is_measured_where_there_are_frozen_features(report: dict[str, Any]) -> None:
    assert "frozen features" in report["untrained"]["how"]
    assert list(report["untrained"]["findings_auc"]) == list(FINDINGS)
    defined = {found["finding"] for found in report["multilabel"]["findings"] if found["auc"] is not None}
    measured = {name for name, area in report["untrained"]["findings_auc"].items() if area is not None}
    assert measured == defined


def test_the_head_has_a_history_and_a_stage_that_was_not_walked_has_none(
    evaluated: StepContext, report: dict[str, Any]
) -> None:
    assert [line["number"] for line in report["head_history"]] == [1, 2, 3]
    assert {"loss", "accuracy", "select_loss", "select_accuracy", "select_auc"} <= set(report["head_history"][0])
    assert report["history"] == []
    drawn = {path.stem for path in evaluated.run.plots.iterdir()}
    assert {"head_history", "finding_confusion", "finding_roc", "findings", "half", "negatives"} <= drawn
    assert "history" not in drawn


def test_a_film_that_does_not_decode_is_counted_and_part_of_no_figure(
    evaluated: StepContext, report: dict[str, Any]
) -> None:
    assert report["left_out"]["unreadable"]["films"] == 1
    assert sum(part["films"] for part in report["provenance"]["parts"].values()) == 2 * PATIENTS - 1
    page = evaluated.run.report_page.read_text()
    assert "Films that do not decode and were left out: 1 (" in page
    assert str(evaluated.order.data) not in page


def test_tables_and_activation_maps_lie_in_folders_of_their_own(evaluated: StepContext, report: dict[str, Any]) -> None:
    folder = evaluated.run.root / "evaluate"
    with (folder / "tables" / "per_class.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(FINDINGS) + 4
    assert (folder / "tables" / "per_class.md").read_text().startswith("*Findings called at 0.2 or above")
    assert len(list((folder / "activation_maps").iterdir())) == report["activation_maps"]["convolutions"] == 2


def test_the_figures_without_activation_maps_and_at_another_threshold_are_the_same_films(
    evaluated: StepContext, report: dict[str, Any], tmp_path: Path
) -> None:
    other = RECIPE.evaluation.model_copy(update={"activation_maps": False, "findings_threshold": 0.5})
    recipe = RECIPE.model_copy(update={"evaluation": other})
    evaluate.run(replace(evaluated, order=evaluated.order.model_copy(update={"recipe": recipe})), tmp_path)
    again = json.loads((tmp_path / "report.json").read_text())
    assert again["activation_maps"] is None
    assert not (tmp_path / "activation_maps").exists()
    assert again["multilabel"]["flattened_auc"] == report["multilabel"]["flattened_auc"]
    assert again["multilabel"]["averages"] != report["multilabel"]["averages"]
    assert again["untrained"] == report["untrained"]
