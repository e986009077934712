"""From drawn films to a bundle that the runtime serves; killed, resumed, refused."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.bundle import CARD_FILE, REPORT_FILE, read_bundle
from model.runtime import Scorer
from tests.support.datasets import write_collection
from tests.support.gateway import wait_until
from tests.support.training_runs import context_of, printed, tiny_recipe
from training.datasets import Part
from training.datasets.sample import read_samples
from training.errors import PublishRefused, RunError
from training.line import run_line, run_step
from training.networks.network import TriageNetwork
from training.provenance import weights_sha256
from training.run_directory import STEP_NAMES
from training.step import StepContext
from training.steps import publish

PATIENTS = 24
DEADLINE_SECONDS = 120
CXR_TRAIN = (sys.executable, "-c", "from training.cli import main; main()")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("data"), patients=PATIENTS, pixels=64)


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> StepContext:
    """One whole run from random weights, for all tests that only look at it."""
    context = context_of(tmp_path_factory.mktemp("run"), tiny_recipe(), data)
    assert run_line(context) == list(STEP_NAMES)
    return context


def run_until(context: StepContext, last: str) -> None:
    for name in STEP_NAMES[: STEP_NAMES.index(last) + 1]:
        run_step(context, name)


@pytest.fixture
def copied(finished: StepContext, tmp_path: Path) -> StepContext:
    """The finished run again, to be changed."""
    root = tmp_path / "copy"
    shutil.copytree(finished.run.root, root)
    return replace(finished, run=replace(finished.run, root=root), destination=tmp_path / "bundle")


def test_the_bundle_is_served_as_the_report_says(finished: StepContext) -> None:
    scorer = Scorer(read_bundle(finished.destination))
    scorer.verify_golden()
    rows = [row for row, (_, part) in enumerate(read_samples(finished.run.samples)) if part is Part.TEST]
    served = [score.probability for score in scorer.score(np.load(finished.run.tensors(32))[rows])]
    with finished.run.test_scores.open(newline="") as file:
        reported = [float(row["probability"]) for row in csv.DictReader(file)]
    assert served == pytest.approx(reported, abs=1e-6)


def test_a_network_that_answers_any_finding_itself_takes_films_alone_and_no_offset(finished: StepContext) -> None:
    bundle = read_bundle(finished.destination)
    assert bundle.golden_age_sex is None
    manifest = bundle.manifest
    assert (manifest.probability_rule, manifest.age_sex_input_name) == ("softmax", None)
    assert manifest.calibration_offset == 0


def test_graph_and_network_agree_on_decoded_films(finished: StepContext) -> None:
    facts = json.loads(finished.run.export_facts.read_text())["variants"]["fp32"]
    assert facts["parity_max_difference"] <= 1e-5
    assert facts["parity_films"] > 0
    assert facts["completeness_max_difference"] <= 1e-5


def test_f3_never_stands_without_the_f3_of_flagging_everything(finished: StepContext) -> None:
    report = json.loads(finished.run.report.read_text())
    for figures in (report["test"], report["test_with_disputed_films"]):
        for point in figures["operating_points"].values():
            assert {"f3", "f3_flag_everything", "f3_skill"} <= set(point)
    assert set(report["baselines"]) == {"view_only", "hog_logistic_regression"}
    card = (finished.destination / CARD_FILE).read_text()
    assert "F3 of flagging everything" in card
    assert "Not a medical device" in card
    assert "F3 of" in printed(finished)


def test_too_few_positives_to_certify_flag_everything_and_say_so(finished: StepContext) -> None:
    point = read_bundle(finished.destination).manifest.operating_point("sens95")
    assert point.threshold == 0
    assert "it takes at least 59, so it flags everything" in point.evidence
    assert point.certificate is None


def test_a_bundle_holds_no_path_of_this_machine(finished: StepContext) -> None:
    for path in finished.destination.iterdir():
        content = path.read_bytes()
        assert str(finished.run.root).encode() not in content
        assert str(finished.order.data).encode() not in content
        assert b"/site-packages/" not in content


def test_a_finished_run_repeats_nothing(finished: StepContext) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.run.root.rglob("*") if path.is_file()}
    assert run_line(finished) == []
    assert {path: path.stat().st_mtime_ns for path in finished.run.root.rglob("*") if path.is_file()} == before


def test_a_changed_value_repeats_the_steps_from_the_first_that_reads_it(copied: StepContext) -> None:
    recipe = tiny_recipe(evaluation={"bootstrap": 101})
    changed = replace(copied, order=copied.order.model_copy(update={"recipe": recipe}))
    assert run_line(changed) == ["evaluate", "publish"]


def test_the_same_recipe_gives_the_same_network(finished: StepContext, data: Path, tmp_path: Path) -> None:
    again = context_of(tmp_path, tiny_recipe(), data)
    run_until(again, "finetune")
    first, second = (torch.load(context.run.network, weights_only=True) for context in (finished, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_given_weights_train_the_head_then_the_last_block_only(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    recipe = tiny_recipe()
    weights = TriageNetwork(recipe.network, size=32).backbone.state_dict()
    init = tmp_path / "resnet18.pth"
    torch.save(weights, init)
    context = context_of(tmp_path / "run", recipe, data, init=init)
    context = replace(context, order=context.order.model_copy(update={"init_sha256": weights_sha256(init)}))
    run_until(context, "finetune")
    assert np.load(context.run.features).shape == (2 * PATIENTS, 512)
    trained = torch.load(context.run.network, weights_only=True)
    changed = {name for name in weights if not torch.equal(weights[name], trained[f"backbone.{name}"])}
    assert changed
    assert all(name.startswith("layer4.1.") for name in changed)
    head = torch.load(context.run.head, weights_only=True)
    assert not torch.equal(head["0.weight"], trained["head.0.weight"])


def test_weights_that_changed_after_the_order_are_refused(data: Path, tmp_path: Path) -> None:
    init = tmp_path / "resnet18.pth"
    init.write_bytes(b"other weights")
    context = context_of(tmp_path / "run", tiny_recipe(), data, init=init)
    run_until(context, "pixels")
    with pytest.raises(RunError, match="have changed since the run was ordered"):
        run_step(context, "features")


def test_a_run_outlives_the_move_of_its_films(data: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(data, before)
    context = context_of(tmp_path / "run", tiny_recipe(), before)
    run_until(context, "manifest")
    assert str(tmp_path) not in context.run.listed.read_text()
    before.rename(after)
    moved = replace(context, order=context.order.model_copy(update={"data": after}))
    assert run_step(moved, "pixels")
    assert not run_step(moved, "manifest")


def test_the_bundle_names_every_commit_that_ran_a_step(copied: StepContext) -> None:
    stamp = copied.run.network.parent / "stamp.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"commit": "an-older-one"}))
    assert run_step(copied, "publish")
    commits = json.loads((copied.destination / REPORT_FILE).read_text())["commits"]
    assert set(commits) == set(STEP_NAMES)
    assert commits["finetune"] == "an-older-one"
    assert "and `an-older-one`" in (copied.destination / CARD_FILE).read_text()


def test_a_step_before_its_inputs_names_what_is_missing(data: Path, tmp_path: Path) -> None:
    context = context_of(tmp_path, tiny_recipe(), data)
    with pytest.raises(RunError, match="needs step 'manifest'"):
        run_step(context, "head")
    run_step(context, "manifest")
    with pytest.raises(RunError, match="step 'finetune' needs step 'pixels'"):
        run_step(context, "finetune")


def test_a_killed_step_is_not_finished_and_runs_again(data: Path, tmp_path: Path) -> None:
    endless = context_of(tmp_path, tiny_recipe(scratch={"epochs": 100_000}), data)
    run_until(endless, "head")
    process = subprocess.Popen([*CXR_TRAIN, "step", "finetune", "--out", str(tmp_path), "--threads", "1"])
    history = tmp_path / ".finetune.partial" / endless.run.history.name
    try:
        wait_until(history.exists, seconds=DEADLINE_SECONDS, what="the first epoch")
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert endless.run.key("finetune") is None
    with pytest.raises(RunError, match="needs step 'finetune'"):
        run_step(endless, "export")
    short = context_of(tmp_path, tiny_recipe(), data)
    assert run_step(short, "finetune")
    assert len(short.run.history.read_text().splitlines()) == 2
    assert not history.parent.exists()


def test_publishing_again_from_a_lost_stamp_accepts_its_own_bundle_only(copied: StepContext) -> None:
    assert run_step(copied, "publish")
    shutil.rmtree(copied.run.published.parent)
    assert run_step(copied, "publish")
    shutil.rmtree(copied.run.published.parent)
    recipe = tiny_recipe(bundle={"version": "0.0.2"})
    other = replace(copied, order=copied.order.model_copy(update={"recipe": recipe}))
    assert run_step(other, "evaluate")
    with pytest.raises(PublishRefused, match="immutable"):
        run_step(other, "publish")


def test_a_bundle_that_was_removed_is_published_again(copied: StepContext) -> None:
    assert run_step(copied, "publish")
    assert not run_step(copied, "publish")
    shutil.rmtree(copied.destination)
    assert run_step(copied, "publish")
    assert copied.destination.exists()


def test_a_leaking_split_is_never_published(copied: StepContext) -> None:
    report = json.loads(copied.run.report.read_text())
    report["provenance"]["shared_patients"] = 3
    copied.run.report.write_text(json.dumps(report))
    with pytest.raises(PublishRefused, match="leakage: 3 patients are in more than one part"):
        publish.run(copied, copied.run.root)
    assert not copied.destination.exists()


@pytest.mark.parametrize(
    ("value", "said"), [(0.1, "parity: probability differs"), (None, "parity: it was not measured")]
)
def test_a_graph_without_parity_is_never_published(copied: StepContext, value: float | None, said: str) -> None:
    facts = json.loads(copied.run.export_facts.read_text())
    facts["variants"]["fp32"]["parity_max_difference"] = value
    copied.run.export_facts.write_text(json.dumps(facts))
    with pytest.raises(PublishRefused, match=said):
        publish.run(copied, copied.run.root)
    assert not copied.destination.exists()


@pytest.mark.parametrize("part", [Part.TEST, Part.CALIBRATE])
def test_a_graph_that_was_exchanged_after_scoring_is_never_published(copied: StepContext, part: Part) -> None:
    scores = copied.run.test_scores if part is Part.TEST else copied.run.calibrate_scores
    with scores.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["probability"] = "0.123"
    with scores.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(PublishRefused, match=f"serving: the bundle's scores of {part} films differ"):
        publish.run(copied, copied.run.root)


def test_a_threshold_that_was_moved_after_certifying_is_never_published(copied: StepContext) -> None:
    points, report = (json.loads(path.read_text()) for path in (copied.run.operating_points, copied.run.report))
    (f3,) = [point for point in points["variants"]["fp32"]["points"] if point["name"] == "f3"]
    f3["threshold"] += 0.01
    copied.run.operating_points.write_text(json.dumps(points))
    copied.run.report.write_text(json.dumps(report | {"operating_points": points}))
    with pytest.raises(PublishRefused, match="certification: the threshold of f3 is"):
        publish.run(copied, copied.run.root)


def test_a_certificate_that_its_own_test_refuted_is_never_published(copied: StepContext) -> None:
    report = json.loads(copied.run.report.read_text())
    report["certificates"]["sens95"] = {"misses": 9, "positives": 20, "p_value": 1e-7, "rejected_at_01": True}
    copied.run.report.write_text(json.dumps(report))
    with pytest.raises(PublishRefused, match="certification: the test patients refute sens95: 9 of 20"):
        publish.run(copied, copied.run.root)


def test_an_image_split_warns_with_the_number_of_shared_patients(data: Path, tmp_path: Path) -> None:
    leaking = context_of(tmp_path, tiny_recipe(data={"split": "image"}), data)
    assert run_step(leaking, "manifest")
    assert "WARNING" in printed(leaking)
    provenance = json.loads(leaking.run.provenance.read_text())
    assert provenance["shared_patients"] > 0
    assert f"lets {provenance['shared_patients']} patients share" in printed(leaking)
