"""Each of the five reports' systems by one command, on drawn films, to a bundle that is served."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from typer.testing import CliRunner

from model.bundle import read_bundle
from model.runtime import Scorer
from services.jobs.records import Record
from tests.support.datasets import fourteen_findings, shadow_in_doubt, write_collection
from tests.support.foreign_weights import keras_mobilenet, torchvision_densenet121
from tests.support.stack import StackProcess
from tests.support.threads import one_thread  # noqa: F401 - an autouse fixture
from training.cli import app
from training.datasets.nih import FINDINGS
from training.networks.network import build_backbone
from training.recipe_files import read_recipe
from training.run_directory import RunDirectory

SWEPT = ("chestmnist_cnn", "eleven_experiments", "six_convolutions", "spark_features")
REPORTED = (*SWEPT, "healthy_unhealthy")
TWO_WAY = ("six_convolutions", "healthy_unhealthy")
# Test parts of a fifth of them have ten patients of either class, below which nothing is printed.
PATIENTS = 112

Train: TypeAlias = Callable[[str], Path]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn films")
    return write_collection(folder, patients=PATIENTS, pixels=128, described=fourteen_findings, shadow=shadow_in_doubt)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with the keys that users' files have, and random values."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(4)
    torch.save(build_backbone(read_recipe(Path("spark_features"), "small").network).state_dict(), folder / "resnet.pth")
    torch.save(keras_mobilenet(), folder / "mobilenet.pth")
    torch.save(torchvision_densenet121(), folder / "densenet121.pth")
    return folder


@pytest.fixture(scope="module")
def trained(films: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train a system by its one command, the first time it is asked for; return where."""
    init = {
        "eleven_experiments": [f"mobilenet={weights / 'mobilenet.pth'}", f"densenet121={weights / 'densenet121.pth'}"],
        "healthy_unhealthy": [str(weights / "resnet.pth")],
        "spark_features": [str(weights / "resnet.pth")],
    }

    @cache
    def train(name: str) -> Path:
        out = tmp_path_factory.mktemp(name) / "out"
        given = [part for each in init.get(name, []) for part in ("--init", each)]
        cxr_train("sweep" if name in SWEPT else "run", name, "--data", str(films), "--out", str(out), *given)
        return out

    return train


def cxr_train(*arguments: str) -> str:
    """Run the command with the preset ``small`` over whatever it is given, and return what it printed.

    It runs in this process, which has loaded by then what each process would load anew.
    """
    done = CliRunner().invoke(app, [*arguments, "--preset", "small", "--threads", "1"], catch_exceptions=False)
    assert done.exit_code == 0, done.output[-3000:]
    return done.stdout


def swept(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "sweep.json").read_text())
    return document


@pytest.mark.parametrize("name", REPORTED)
def test_a_report_s_system_is_one_command_from_a_bundle_that_is_served(name: str, trained: Train) -> None:
    bundle = read_bundle(trained(name) / "bundle")
    Scorer(bundle).verify_golden()
    assert set(bundle.manifest.labels) == (set() if name in TWO_WAY else set(FINDINGS))
    assert (bundle.manifest.age_sex_input_name is not None) == (name == "spark_features")


@pytest.mark.parametrize("name", REPORTED)
def test_its_tables_and_plots_are_in_the_run_directory(name: str, trained: Train) -> None:
    out = trained(name)
    run = RunDirectory(out)
    if name in SWEPT:
        document = swept(out)
        assert (document["published"], [each["error"] for each in document["runs"]]) == (
            True,
            [None] * len(document["runs"]),
        )
        assert {"sweep.json", "sweep.csv", "sweep.md", "sweep.png"} <= {path.name for path in out.iterdir()}
        run = RunDirectory(out / "runs" / document["chosen"])
    report = json.loads(run.report.read_text())
    assert run.report_page.exists()
    expected = {"roc", "half", "negatives"} | (set() if name in TWO_WAY else {"findings", "finding_confusion"})
    assert expected <= {path.stem for path in run.plots.glob("*.png")}
    assert (report["multilabel"] is None) == (name in TWO_WAY)
    assert (report["activation_maps"] is not None) == (name == "six_convolutions")
    assert bool(report["head_history"]) == (name in ("spark_features", "healthy_unhealthy"))


def test_an_image_split_is_evaluated_and_never_published(films: Path, tmp_path: Path) -> None:
    options = ("--preset", "image", "--data", str(films), "--out", str(tmp_path / "out"))
    said = cxr_train("sweep", "six_convolutions", *options)
    document = swept(tmp_path / "out")
    assert (document["split"], document["published"]) == ("image", False)
    assert all(run["test"]["auc"]["value"] is not None for run in document["runs"])
    assert "NOTHING PUBLISHED" in said
    assert "patients share parts of the split" in said.replace("\n", " ")
    assert not (tmp_path / "out" / "bundle").exists()


def test_findings_of_a_film_that_was_posted_stand_in_its_record(
    redis_binary: Path, trained: Train, films: Path, tmp_path: Path
) -> None:
    bundle = trained("spark_features") / "bundle"
    film = sorted((films / "images").iterdir())[1]
    asked: dict[str, str | int] = {"wait": 30, "age": 58, "sex": "F", "view": "PA"}
    with StackProcess(tmp_path, bundle=bundle) as stack, stack.client() as client:
        headers = {"Content-Type": "image/png"}
        answer = client.post("/v1/instances", content=film.read_bytes(), headers=headers, params=asked)
        record = Record.model_validate_json(answer.content)
    assert record.outcome is not None
    assert record.outcome.is_scored, record.reason
    assert record.findings is not None
    assert {finding.label for finding in record.findings} == set(FINDINGS)
    assert all(0 < finding.probability < 1 for finding in record.findings)
