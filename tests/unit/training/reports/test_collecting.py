"""Finished runs become ``results.json``; what is missing or not what it is called is an error that names it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.collected_runs import VALUE, write_finished_runs
from training.errors import RecipeError, RunError
from training.reports.collecting import collect
from training.reports.documents import write_document
from training.reports.published import read_published
from training.reports.results import SPLITS, Ours, Results, is_current, read_results

CPU = ("cpu",)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    write_finished_runs(folder)
    return folder


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_all_ten_runs_are_collected_with_every_figure(finished: Path) -> None:
    results = collect(finished, CPU)
    assert len(results.runs) == 10
    for report in read_published():
        for split in SPLITS:
            run = results.run(report.recipe, split)
            assert run is not None
            paths = {(figure.file, figure.path) for figure in report.all_figures() if figure.file is not None}
            assert {(file, path) for file, found in run.figures.items() for path in found} == paths


def test_a_run_is_told_by_its_films_its_split_and_the_code_that_made_it(finished: Path) -> None:
    run = collect(finished, CPU).run("healthy_unhealthy", "image")
    assert run is not None
    assert (run.films["train"], run.tested, run.tested_patients, run.shared_patients) == (500, 180, 90, 7)
    assert run.presets == ("cpu", "image")
    assert run.command == "cxr-train run healthy_unhealthy --preset cpu --preset image"
    assert run.commits == ("0123456789abcdef",)
    assert run.figures["report"]["test.auc"] == Ours(value=VALUE, low=0.1, high=0.2)


@pytest.mark.parametrize("recipe", ["healthy_unhealthy", "six_convolutions"])
def test_a_run_is_current_until_its_recipe_changes(finished: Path, recipe: str) -> None:
    run = collect(finished, CPU).run(recipe, "patient")
    assert run is not None
    assert is_current(run)
    assert not is_current(run.model_copy(update={"recipe_sha256": "0" * 64}))
    assert not is_current(run.model_copy(update={"presets": ("gone",)}))


def test_results_are_read_back_as_they_were_written(finished: Path, tmp_path: Path) -> None:
    results = collect(finished, CPU)
    write_document(results, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == results
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_absent_results_are_none_and_broken_ones_an_error(tmp_path: Path) -> None:
    assert read_results(tmp_path / "results.json") == Results(runs=())
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(RunError, match=r"results\.json holds no collected results"):
        read_results(tmp_path / "results.json")


def test_a_missing_run_is_named(runs: Path) -> None:
    shutil.rmtree(runs / "six_convolutions-image")
    with pytest.raises(RunError, match="six_convolutions-image is missing: run six_convolutions with --preset cpu"):
        collect(runs, CPU)


def test_a_run_without_evaluation_is_named(runs: Path) -> None:
    shutil.rmtree(runs / "healthy_unhealthy-patient" / "evaluate")
    with pytest.raises(RunError, match=r"evaluate/report\.json is missing: that run is not finished"):
        collect(runs, CPU)


def test_a_missing_figure_is_named(runs: Path) -> None:
    report = runs / "healthy_unhealthy-patient" / "evaluate" / "report.json"
    document = json.loads(report.read_text())
    del document["test"]["operating_points"]["half"]["f3"]
    report.write_text(json.dumps(document))
    with pytest.raises(RunError, match=r"report\.json has no test\.operating_points\.half\.f3, where f3 should be"):
        collect(runs, CPU)


def test_a_run_that_was_split_otherwise_than_it_is_called_is_refused(runs: Path) -> None:
    shutil.rmtree(runs / "healthy_unhealthy-patient")
    shutil.copytree(runs / "healthy_unhealthy-image", runs / "healthy_unhealthy-patient")
    with pytest.raises(RunError, match="was split by image, not by patient as it is called"):
        collect(runs, CPU)


def test_a_run_of_another_preset_is_refused(runs: Path) -> None:
    order = runs / "healthy_unhealthy-patient" / "order.json"
    recipe = json.loads(order.read_text())["recipe"]
    change(order, recipe=recipe | {"seed": 1})
    with pytest.raises(RunError, match="another recipe than the shipped one with --preset cpu; say --preset"):
        collect(runs, CPU)


def test_a_sweep_with_one_run_of_another_recipe_is_refused(runs: Path) -> None:
    order = runs / "six_convolutions-patient" / "runs" / "epochs=10" / "order.json"
    change(order, recipe=json.loads(order.read_text())["recipe"] | {"seed": 1})
    with pytest.raises(RunError, match="epochs=10 was made with another recipe than the shipped one"):
        collect(runs, CPU)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "healthy_unhealthy-patient: its report.json or sweep.json has no 'test'; another version"),
        ("[]", "report.json cannot be read: it holds no table"),
        ("{", "report.json cannot be read: Expecting"),
    ],
)
def test_a_report_of_another_form_is_named(runs: Path, content: str, message: str) -> None:
    (runs / "healthy_unhealthy-patient" / "evaluate" / "report.json").write_text(content)
    with pytest.raises(RunError, match=message):
        collect(runs, CPU)


def test_an_unknown_preset_is_named(runs: Path) -> None:
    with pytest.raises(RecipeError, match="has no preset 'huge'"):
        collect(runs, ("huge",))


def test_a_sweep_with_a_failed_run_is_refused(runs: Path) -> None:
    sweep = runs / "six_convolutions-image" / "sweep.json"
    entries = json.loads(sweep.read_text())["runs"]
    change(sweep, runs=[entries[0] | {"error": "diverged"}, *entries[1:]])
    with pytest.raises(RunError, match=f"runs that failed: {entries[0]['name']}"):
        collect(runs, CPU)


def test_a_sweep_of_other_runs_is_refused(runs: Path) -> None:
    sweep = runs / "six_convolutions-image" / "sweep.json"
    change(sweep, runs=json.loads(sweep.read_text())["runs"][1:])
    with pytest.raises(RunError, match="holds other runs than six_convolutions with --preset cpu --preset image"):
        collect(runs, CPU)


def test_a_figure_without_value_keeps_its_note(runs: Path) -> None:
    report = runs / "healthy_unhealthy-patient" / "evaluate" / "report.json"
    document = json.loads(report.read_text())
    document["test"]["auc"] = {"value": None, "low": None, "high": None, "note": "n too small: 3 healthy patients"}
    report.write_text(json.dumps(document))
    run = collect(runs, CPU).run("healthy_unhealthy", "patient")
    assert run is not None
    assert run.figures["report"]["test.auc"].note == "n too small: 3 healthy patients"


def test_counts_stay_whole_numbers(runs: Path, tmp_path: Path) -> None:
    report = runs / "healthy_unhealthy-patient" / "evaluate" / "report.json"
    document = json.loads(report.read_text())
    document["test"]["operating_points"]["half"]["confusion"]["true_positives"] = 0
    report.write_text(json.dumps(document))
    write_document(collect(runs, CPU), tmp_path / "results.json")
    run = read_results(tmp_path / "results.json").run("healthy_unhealthy", "patient")
    assert run is not None
    value = run.figures["report"]["test.operating_points.half.confusion.true_positives"].value
    assert (value, type(value)) == (0, int)


def test_results_that_cannot_be_written_are_an_error(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        write_document(Results(runs=()), tmp_path / "absent" / "results.json")
