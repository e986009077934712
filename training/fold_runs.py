"""Runs the line once for each fold, up to ``evaluate``, and joins what the folds say of the films they never saw.

A fold is an ordinary run directory, ``OUT/fold-<i>``: finished steps in it are kept, so that a cross-validation that
was killed is simply started again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.errors import RunError
from training.line import run_step
from training.recipe import Recipe
from training.recipe_files import parse_recipe
from training.run_directory import STEP_NAMES, RunDirectory
from training.statistics.cross_validation import pooled_figures
from training.statistics.folds import join_folds, read_fold
from training.statistics.intervals import Bootstrap
from training.step import StepContext

_LAST = "evaluate"


def fold_recipe(recipe: Recipe, fold: int, folds: int) -> Recipe:
    """Return ``recipe`` with the test part replaced by fold ``fold`` of ``folds``.

    Raises
    ------
    RecipeError
        If the recipe cannot be cut into folds (an official test list chooses its test part).
    """
    document = recipe.model_dump(mode="json")
    document["data"] |= {"test_fold": fold, "folds": folds}
    return parse_recipe(document, source=f"fold {fold} of {folds}")


def fold_directory(out: Path, fold: int) -> RunDirectory:
    """Return the run directory of one fold."""
    return RunDirectory(out / f"fold-{fold}")


def run_fold(context: StepContext) -> None:
    """Run the steps of one fold that are not finished, up to ``evaluate``.

    Raises
    ------
    TrainingError
        As the steps do; what was finished before stays.
    """
    for name in STEP_NAMES[: STEP_NAMES.index(_LAST) + 1]:
        if not run_step(context, name):
            context.console.print(f"{name}: finished earlier, kept")


def join_runs(out: Path, recipe: Recipe, folds: int) -> dict[str, Any]:
    """Write ``cross_validation.json`` into ``out`` from its finished folds and return what it holds.

    Raises
    ------
    RunError
        If the folds were run on different films, or the file cannot be written.
    PatientLeakage
        If two folds tested on the same patient.
    """
    runs = [fold_directory(out, fold) for fold in range(folds)]
    found = [read_fold(run, leave_out_disputed=recipe.data.leave_out_disputed) for run in runs]
    bootstrap = Bootstrap(replicates=recipe.evaluation.bootstrap, seed=recipe.seed)
    report = {
        "recipe": recipe.bundle.name,
        "recipe_sha256": recipe.sha256,
        "data_fingerprint": _fingerprint(runs),
        **pooled_figures(join_folds(found), bootstrap),
    }
    path = out / "cross_validation.json"
    try:
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write {path} ({error.strerror})") from error
    return report


def _fingerprint(runs: Sequence[RunDirectory]) -> str:
    found = {json.loads(run.provenance.read_text(encoding="utf-8"))["data_fingerprint"] for run in runs}
    if len(found) > 1:
        raise RunError(f"the folds in {runs[0].root.parent} were run on different films; start a new directory")
    return str(found.pop())
