"""A sweep on drawn films: what runs share is computed once, what fails stands alone, select patients choose."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model.bundle import read_bundle
from model.runtime import Scorer
from tests.support.datasets import fourteen_findings, write_collection
from tests.support.gateway import wait_until
from training.errors import RecipeError, RunError
from training.run_directory import STEP_NAMES, RunDirectory
from training.series_commands import sweep
from training.sweep_runs import initial_weights

RECIPE = """
seed = 7
bundle = { name = "swept", version = "0.0.1", training_data = "drawings", licence = "Apache-2.0" }
data = { train = 0.4, select = 0.2, calibrate = 0.2, test = 0.2 }
preprocessing = { size = 32 }
loss = { any_weight = 0.0, findings_weight = 1.0 }
evaluation = { bootstrap = 100 }

[network]
architecture = "convolutional"
filters = [4, 8]
hidden = 8
dropout = 0.1
any_finding = false
findings = ["Mass", "Hernia"]

[[scratch]]
learns = "whole"
epochs = 2
batch_size = 8
optimiser = "adam"
learning_rate = 0.001

[sweep]
choose = "loss"

[[sweep.variations]]
name = "plain"
set = {}

[[sweep.variations]]
name = "hopeless"
set = { "scratch.0.learning_rate" = 1e30 }

[[sweep.variations]]
name = "more-draws"
set = { "evaluation.bootstrap" = 101 }

[presets.hopeless.sweep]
variations = [{ name = "hopeless", set = { "scratch.0.learning_rate" = 1e30 } }]
"""
CXR_TRAIN = (sys.executable, "-c", "from training.cli import main; main()")
DEADLINE_SECONDS = 120


def swept(folder: Path, *presets: str, out: Path | None = None) -> None:
    where = out or folder / "the sweep"
    sweep(recipe=folder / "a recipe.toml", data=folder / "films", out=where, threads=1, preset=[*presets])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a folder with spaces")
    write_collection(folder / "films", patients=60, films_per_patient=1, pixels=64, described=fourteen_findings)
    (folder / "a recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def out(prepared: Path) -> Path:
    """A sweep that was killed after its first fine-tuning and started again; one of its runs must fail."""
    out = prepared / "the sweep"
    network = RunDirectory(out / "runs" / "plain").network
    options = ("--data", prepared / "films", "--out", out, "--threads", "1")
    process = subprocess.Popen([*CXR_TRAIN, "sweep", prepared / "a recipe.toml", *options], stdout=subprocess.DEVNULL)
    try:
        wait_until(network.exists, seconds=DEADLINE_SECONDS, what="the first fine-tuning")
    finally:
        process.kill()
        process.wait()
    assert not (out / "sweep.json").exists()
    written = network.stat().st_mtime_ns
    with pytest.raises(RunError, match=r"1 of 3 runs failed \(hopeless\), the first .*lower the learning rate"):
        swept(prepared)
    assert network.stat().st_mtime_ns == written
    return out


def read(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "sweep.json").read_text())
    return document


def test_the_best_on_select_patients_is_published_and_served(out: Path) -> None:
    document = read(out)
    assert (document["chosen"], document["published"], document["not_published_because"]) == ("plain", True, None)
    scorer = Scorer(read_bundle(out / "bundle"))
    scorer.verify_golden()
    assert read_bundle(out / "bundle").manifest.labels == ("Mass", "Hernia")


def test_every_run_has_its_figures_in_every_table(out: Path) -> None:
    plain, hopeless, more = read(out)["runs"]
    history = [json.loads(line) for line in RunDirectory(out / "runs" / "plain").history.read_text().splitlines()]
    kept = max(history, key=lambda line: line["select_auc"])
    assert (plain["select"]["epoch"], plain["select"]["loss"]) == (kept["number"], kept["select_loss"])
    assert (plain["train"]["accuracy"], plain["architecture"]) == (kept["accuracy"], "convolutional")
    report = json.loads(RunDirectory(out / "runs" / "plain").report.read_text())
    assert plain["test"]["multilabel"] == report["multilabel"]
    assert plain["parameters"] == report["network"]["parameters"] > 0
    assert more["select"] == plain["select"]
    assert "lower the learning rate" in hopeless["error"]
    with (out / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["chosen"]) for row in rows] == [("plain", "1"), ("hopeless", "0"), ("more-draws", "0")]
    assert float(rows[0]["AUC, flattened"]) == plain["test"]["multilabel"]["flattened_auc"]
    text = (out / "sweep.md").read_text()
    assert f"hopeless failed: {hopeless['error']}" in text
    assert "prevalence only" in text
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_what_two_runs_share_is_computed_once_and_lies_on_the_disk_once(out: Path) -> None:
    plain, hopeless, more = (RunDirectory(out / "runs" / name) for name in ("plain", "hopeless", "more-draws"))
    assert plain.tensors(32).samefile(hopeless.tensors(32))
    assert plain.network.samefile(more.network)
    assert plain.calibrate_scores.samefile(more.calibrate_scores)
    assert not plain.report.samefile(more.report)
    assert [more.key(step) is not None for step in STEP_NAMES] == [True] * 8 + [False]
    assert hopeless.key("finetune") is None


def test_a_finished_sweep_repeats_nothing_but_what_failed(prepared: Path, out: Path) -> None:
    kept = [
        path for path in out.rglob("*") if path.is_file() and "hopeless" not in str(path) and ".lock" not in str(path)
    ]
    before = {path: path.stat().st_mtime_ns for path in kept if path.parent != out}
    tables = {path: path.read_bytes() for path in kept if path.parent == out}
    with pytest.raises(RunError, match="1 of 3 runs failed"):
        swept(prepared)
    assert {path: path.stat().st_mtime_ns for path in before if path.name != "order.json"} == {
        path: time for path, time in before.items() if path.name != "order.json"
    }
    assert {path: path.read_bytes() for path in tables} == tables


def test_where_no_run_succeeds_nothing_is_published(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="1 of 1 runs failed"):
        swept(prepared, "hopeless", out=tmp_path / "sweep")
    document = read(tmp_path / "sweep")
    assert (document["chosen"], document["published"]) == (None, False)
    assert not (tmp_path / "sweep" / "bundle").exists()
    assert not (tmp_path / "sweep" / "sweep.png").exists()


def test_a_sweep_is_left_alone_while_another_process_works_in_it(prepared: Path, out: Path) -> None:
    before = (out / "sweep.json").read_bytes()
    with RunDirectory(out).locked(), pytest.raises(RunError, match="another process is working"):
        swept(prepared)
    assert (out / "sweep.json").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "architectures", "found"),
    [
        ([], ["resnet18"], {}),
        (["a b.pth"], ["resnet18", "resnet18"], {"resnet18": Path("a b.pth")}),
        (["resnet18=a=b.pth"], ["resnet18", "mobilenet"], {"resnet18": Path("a=b.pth")}),
        (["runs=3/a.pth"], ["resnet18"], {"resnet18": Path("runs=3/a.pth")}),
    ],
)
def test_weights_go_to_the_runs_of_their_architecture(
    given: list[str], architectures: list[str], found: dict[str, Path]
) -> None:
    assert initial_weights(given, architectures) == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["a.pth"], "--init a.pth: the runs are resnet18, mobilenet; say --init mobilenet=a.pth"),
        (["resnet50=a.pth"], "no run is a resnet50; they are resnet18, mobilenet"),
        (["resnet18=a", "resnet18=b"], "--init resnet18=b: resnet18 is given twice"),
    ],
)
def test_weights_without_a_run_of_their_own_are_refused(given: list[str], said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        initial_weights(given, ["resnet18", "mobilenet"])
    assert said in str(refused.value)
