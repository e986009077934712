"""Reads finished runs of the five recipes, under both splits, and gathers the figures that the reports printed.

Every run is checked to be what it is called: the shipped recipe with the presets that are named, the split of its
folder's name, evaluated. What is missing is an error that names it; nothing is left out silently.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.errors import RunError
from training.provenance import patients_known
from training.recipe import Recipe
from training.recipe_files import read_recipe, read_sweep
from training.reports.paths import parts_of, pick
from training.reports.published import PublishedFigure, PublishedReport, read_published
from training.reports.results import SPLITS, CollectedRun, Ours, Results, SplitKind, as_ours
from training.run_directory import RunDirectory

_RUNS = "runs"


@dataclass(frozen=True, kw_only=True)
class _Finished:
    """A run directory, or the chosen one of a sweep: its folder, its figures, and every run's recipe by its folder."""

    folder: Path
    run: RunDirectory
    documents: dict[str, Any]
    asked: Mapping[Path, Recipe]

    @property
    def chosen(self) -> Recipe:
        """The recipe that was asked for where the figures are."""
        return self.asked[self.run.root]


def collect(folder: Path, presets: Sequence[str]) -> Results:
    """Return the figures of ``folder/<recipe>-<split>`` for every recipe and both splits.

    ``presets`` are those of the runs that are split by patient; those split by image have ``image`` after them.

    Raises
    ------
    RunError
        If a run is missing, unfinished, failed, or was made with another recipe, other presets or another split than
        its name says, or if one of its files lacks a figure.
    RecipeError
        If a recipe has no such preset.
    """
    return Results(
        runs=tuple(_named(folder, report, split, presets) for report in read_published() for split in SPLITS)
    )


def _named(folder: Path, report: PublishedReport, split: SplitKind, presets: Sequence[str]) -> CollectedRun:
    try:
        return _collected(folder, report, split, presets)
    except KeyError as error:
        raise RunError(
            f"{folder / f'{report.recipe}-{split}'}: its report.json or sweep.json has no {error}; another version "
            "made it, run it again"
        ) from error


def _collected(folder: Path, report: PublishedReport, split: SplitKind, presets: Sequence[str]) -> CollectedRun:
    stacked = (*presets, *(("image",) if split == "image" else ()))
    finished = _finished(folder / f"{report.recipe}-{split}", report.recipe, stacked)
    found, test = finished.documents["report"], finished.documents["report"]["test"]
    recorded, sweep = found["provenance"], finished.documents.get("sweep")
    _require_as_named(finished, split, stacked)
    left_out = finished.chosen.data.leave_out_disputed
    verb = "run" if sweep is None else "sweep"
    return CollectedRun(
        recipe=report.recipe,
        recipe_sha256=finished.chosen.sha256,
        split=split,
        presets=stacked,
        command=f"cxr-train {verb} {report.recipe} " + " ".join(f"--preset {preset}" for preset in stacked),
        commits=tuple(sorted({*finished.run.commits().values()})),
        date=datetime.fromtimestamp(finished.run.report.stat().st_mtime, UTC).date().isoformat(),
        machine=_machine(),
        films={part: counts["films"] - counts["disputed"] * left_out for part, counts in recorded["parts"].items()},
        tested=test["films"],
        tested_patients=test["patients"],
        prevalence=test["prevalence"],
        shared_patients=recorded["shared_patients"],
        patients_known=patients_known(recorded),
        started_from=_start(recorded),
        chosen=None if sweep is None else sweep["chosen"],
        runs=1 if sweep is None else len(sweep[_RUNS]),
        seconds=_learning_seconds(found) if sweep is None else sum(run["seconds"] for run in sweep[_RUNS]),
        figures=_figures(report, finished),
    )


def _finished(folder: Path, recipe: str, presets: Sequence[str]) -> _Finished:
    if not folder.is_dir():
        raise RunError(f"{folder} is missing: run {recipe} with {_spelt(presets)} into it")
    if not (folder / "sweep.json").exists():
        run = RunDirectory(folder)
        documents = {"report": _read(run.report)}
        return _Finished(
            folder=folder, run=run, documents=documents, asked={run.root: read_recipe(Path(recipe), *presets)}
        )
    sweep = _read(folder / "sweep.json")
    failed = [run["name"] for run in sweep[_RUNS] if run["error"] is not None]
    if failed or sweep["chosen"] is None:
        raise RunError(f"{folder} has no chosen run, or runs that failed: {', '.join(failed) or 'none is chosen'}")
    asked = {swept.name: swept.recipe for swept in read_sweep(Path(recipe), *presets).runs}
    if list(asked) != [run["name"] for run in sweep[_RUNS]]:
        raise RunError(f"{folder} holds other runs than {recipe} with {_spelt(presets)} asks for: {', '.join(asked)}")
    run = RunDirectory(folder / _RUNS / sweep["chosen"])
    return _Finished(
        folder=folder,
        run=run,
        documents={"report": _read(run.report), "sweep": sweep},
        asked={folder / _RUNS / name: its for name, its in asked.items()},
    )


def _require_as_named(finished: _Finished, split: SplitKind, presets: Sequence[str]) -> None:
    for folder, asked in finished.asked.items():
        ordered = RunDirectory(folder).read_order().recipe
        if ordered.data.split != split:
            raise RunError(f"{finished.folder} was split by {ordered.data.split}, not by {split} as it is called")
        if ordered != asked:
            raise RunError(
                f"{folder} was made with another recipe than the shipped one with {_spelt(presets)}; "
                "say --preset as it was run, or run it again"
            )


def _figures(report: PublishedReport, finished: _Finished) -> dict[str, dict[str, Ours]]:
    figures: dict[str, dict[str, Ours]] = {}
    for figure in report.all_figures():
        if figure.file is not None and figure.path is not None:
            figures.setdefault(figure.file, {})[figure.path] = _ours(figure, figure.path, finished)
    return figures


def _ours(figure: PublishedFigure, path: str, finished: _Finished) -> Ours:
    document, parts = finished.documents.get(figure.file or ""), parts_of(path)
    if document is None:
        raise RunError(f"{finished.folder} has no {figure.file}.json: {figure.key} is compared with a sweep")
    if figure.file == "sweep" and parts[0] == _RUNS and finished.folder / _RUNS / parts[1] not in finished.asked:
        return Ours(value=None, note="not in this preset")
    try:
        return as_ours(pick(document, path))
    except KeyError as error:
        raise RunError(
            f"{finished.folder}: {figure.file}.json has no {error.args[0]}, where {figure.key} should be"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: that run is not finished; start the same command again") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise RunError(f"{path} cannot be read: it holds no table")
    return document


def _spelt(presets: Sequence[str]) -> str:
    return " ".join(f"--preset {preset}" for preset in presets) or "no preset"


def _learning_seconds(report: Mapping[str, Any]) -> float:
    return float(sum(line.get("seconds", 0.0) for line in (*report["history"], *report["head_history"])))


def _start(recorded: Mapping[str, Any]) -> str:
    """Return what the weights were before training, as far as the run knows."""
    if recorded["init"] is not None:
        return f"pretrained weights ({recorded['init']['method']}, {recorded['init']['films']:,} films)"
    return "random weights" if recorded["init_sha256"] is None else "weights that nothing describes"


def _machine() -> str:
    """Return processor and cores of this machine, which is taken for the one that ran."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
