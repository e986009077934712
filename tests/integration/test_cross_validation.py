"""The whole line once for each fold, on drawings: finished folds are kept, and every film is scored once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.datasets import write_collection
from tests.support.training_runs import TINY
from training.fold_runs import fold_directory
from training.series_commands import cross_validate
from training.statistics.scored_films import read_scored_films

FOLDS = 2
# Long enough to learn something, with calibrate films enough to be calibrated on; folds ask nothing of the network.
SMALL = TINY | {
    "network": {"architecture": "convolutional", "filters": [4, 8], "hidden": 8, "dropout": 0.1},
    "data": {"train": 0.5, "select": 0.1, "calibrate": 0.3, "test": 0.1},
    "scratch": [stage | {"epochs": 6} for stage in TINY["scratch"]],
}


def toml(document: dict[str, object]) -> str:
    """Return the tables of a recipe as TOML; JSON's literals are TOML's for numbers, texts and lists of them."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in document.items() if not isinstance(value, dict | list)]
    for name, section in document.items():
        for table in section if isinstance(section, list) else [section] if isinstance(section, dict) else []:
            lines.append(f"[[{name}]]" if isinstance(section, list) else f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def write_noisy_collection(directory: Path) -> None:
    """Draw films of which every sixth patient's label is wrong: no network separates them entirely."""
    write_collection(directory, patients=240, films_per_patient=1, pixels=48)
    table = directory / "Data_Entry_2017_v2020.csv"
    header, *lines = table.read_text().splitlines()
    for number in range(0, len(lines), 12):
        lines[number] = lines[number].replace("No Finding", "Mass")
        lines[number + 1] = lines[number + 1].replace("Mass|Nodule", "No Finding")
    table.write_text("\n".join([header, *lines]) + "\n")


def test_every_film_is_scored_once_and_finished_folds_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out, recipe = tmp_path / "data", tmp_path / "out", tmp_path / "tiny.toml"
    write_noisy_collection(data)
    recipe.write_text(toml(SMALL))
    cross_validate(recipe, data, out, folds=FOLDS, only=1, device="cpu", threads=1)
    assert not (out / "cross_validation.json").exists()
    cross_validate(recipe, data, out, folds=FOLDS, device="cpu", threads=1)
    report = json.loads((out / "cross_validation.json").read_text())
    assert "| AUC, pairs within folds |" in capsys.readouterr().out
    tests = [read_scored_films(fold_directory(out, fold).test_scores) for fold in range(FOLDS)]
    ids = [name for films in tests for name in films.facts.ids.tolist()]
    assert len(ids) == len(set(ids)) >= report["films"] == sum(fold["films"] for fold in report["folds"])
    assert set(report["baselines"]) == {"view_only", "hog_logistic_regression"}

    cross_validate(recipe, data, out, folds=FOLDS, device="cpu", threads=1)
    assert "evaluate: finished earlier, kept" in capsys.readouterr().out
    assert json.loads((out / "cross_validation.json").read_text()) == report
