"""Finished runs of the five recipes as folders of files: what ``cxr-train reports collect`` reads, without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.recipe import Recipe
from training.recipe_files import read_recipe, read_sweep
from training.reports.paths import parts_of
from training.reports.published import PublishedReport, read_published
from training.reports.results import SPLITS
from training.run_directory import STEP_NAMES, Order, RunDirectory

VALUE = 0.125
_PART_FILMS = {"train": 500, "select": 60, "calibrate": 80, "test": 200}


def write_finished_runs(folder: Path, presets: Sequence[str] = ("cpu",)) -> None:
    """Write all ten; every figure that a report asks for is .125, and intervals are .1 to .2."""
    for report in read_published():
        for split in SPLITS:
            stacked = (*presets, *(("image",) if split == "image" else ()))
            _write(folder / f"{report.recipe}-{split}", report, stacked, leaked=7 if split == "image" else 0)


def _write(folder: Path, report: PublishedReport, presets: Sequence[str], *, leaked: int) -> None:
    if all(figure.file != "sweep" for figure in report.all_figures()):
        _write_run(folder, read_recipe(Path(report.recipe), *presets), report, leaked)
        return
    runs = read_sweep(Path(report.recipe), *presets).runs
    for swept in runs[:-1]:
        RunDirectory(folder / "runs" / swept.name).write_order(_order(folder, swept.recipe))
    _write_run(folder / "runs" / runs[-1].name, runs[-1].recipe, report, leaked)
    sweep = _document(report, "sweep")
    wanted = {run["name"]: run for run in sweep.get("runs", [])}
    sweep["runs"] = [{"seconds": 2.0, "error": None, **wanted.get(run.name, {"name": run.name})} for run in runs]
    sweep["chosen"] = runs[-1].name
    (folder / "sweep.json").write_text(json.dumps(sweep))


def _order(folder: Path, recipe: Recipe) -> Order:
    return Order(recipe=recipe, data=folder, init=None, init_sha256=None)


def _write_run(folder: Path, recipe: Recipe, report: PublishedReport, leaked: int) -> None:
    run = RunDirectory(folder)
    run.write_order(_order(folder, recipe))
    document = _document(report, "report")
    document.setdefault("test", {}).update(films=180, patients=90, prevalence=0.5)
    document["history"] = [{"seconds": 30.0}, {"seconds": 60.0}]
    document.setdefault("head_history", [])
    document["provenance"] = {
        "reader": "nih",
        "parts": {
            part: {"films": films + 9, "patients": films // 2, "disputed": 9} for part, films in _PART_FILMS.items()
        },
        "shared_patients": leaked,
        "patients_known": True,
        "init": None,
        "init_sha256": None,
    }
    for step in STEP_NAMES[:-1]:
        with run.writing(step, "key", commit="0123456789abcdef") as output:
            if step == "evaluate":
                (output / run.report.name).write_text(json.dumps(document))


def _document(report: PublishedReport, file: str) -> dict[str, Any]:
    """Return a document in which every path that the report names leads to a figure."""
    document: dict[str, Any] = {}
    for figure in report.all_figures():
        if figure.file == file and figure.path is not None:
            _put(document, parts_of(figure.path))
    return document


def _put(document: dict[str, Any], parts: Sequence[str]) -> None:
    here: Any = document
    for part, following in zip(parts, (*parts[1:], ""), strict=True):
        is_last, holds_names = following == "", part in ("findings", "runs", "head_history")
        if isinstance(here, list):
            here = _entry(here, part)
        elif is_last:
            here[part] = {"value": VALUE, "low": 0.1, "high": 0.2, "note": None}
        else:
            here = here.setdefault(part, [] if holds_names else {})


def _entry(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = next((entry for entry in entries if entry["name"] == name), None)
    if found is None:
        found = {"name": name}
        entries.append(found)
    return found
