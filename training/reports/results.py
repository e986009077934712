"""Our figures beside the published ones: what ``collect`` writes and the page reads, ``results.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from training.errors import RecipeError, RunError
from training.recipe.section import Section
from training.recipe_files import read_recipe, read_sweep

SplitKind = Literal["patient", "image"]
SPLITS: tuple[SplitKind, ...] = ("image", "patient")

_PACKAGED = Path(__file__).with_suffix(".json")


class Ours(Section):
    """One figure of ours; ``note`` says why there is no value."""

    value: int | float | str | None
    low: float | None = None
    high: float | None = None
    note: str | None = None


class CollectedRun(Section):
    """One finished run or sweep: what it was, and its figures by the path at which they were found.

    ``recipe_sha256`` is the digest of the recipe as it ran (``Recipe.sha256``). ``films`` are those of each part,
    without the disputed ones that are left out; figures count the ``tested`` ones, of ``tested_patients``. ``chosen``
    is the run of a sweep that select films chose; ``seconds`` is what learning took, of all runs.
    """

    recipe: str
    recipe_sha256: str
    split: SplitKind
    presets: tuple[str, ...]
    command: str
    commits: tuple[str, ...]
    date: str
    machine: str
    films: dict[str, int]
    tested: int
    tested_patients: int
    prevalence: float
    shared_patients: int
    patients_known: bool
    started_from: str
    chosen: str | None
    runs: int
    seconds: float
    figures: dict[str, dict[str, Ours]]


class Results(Section):
    """Every collected run."""

    runs: tuple[CollectedRun, ...]

    def run(self, recipe: str, split: SplitKind) -> CollectedRun | None:
        """Return the run of a recipe under a split, if it was collected."""
        return next((run for run in self.runs if (run.recipe, run.split) == (recipe, split)), None)


def is_current(run: CollectedRun) -> bool:
    """Return whether the recipe that ships now, with the run's presets, is still the one that ran."""
    try:
        if run.chosen is None:
            return read_recipe(Path(run.recipe), *run.presets).sha256 == run.recipe_sha256
        swept = {each.name: each.recipe for each in read_sweep(Path(run.recipe), *run.presets).runs}
    except RecipeError:
        return False
    return run.chosen in swept and swept[run.chosen].sha256 == run.recipe_sha256


def read_results(path: Path = _PACKAGED) -> Results:
    """Return what was collected; nothing where the file is absent.

    Raises
    ------
    RunError
        If the file is there and cannot be understood.
    """
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Results(runs=())
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise RunError(f"{path} holds no collected results: {str(error).splitlines()[0]}") from error


def as_ours(found: Any) -> Ours:
    """Return a number, a text, or a figure of ``report.json`` (``value``, ``low``, ``high``, ``note``)."""
    if isinstance(found, dict):
        return Ours(**{key: found.get(key) for key in ("value", "low", "high", "note")})
    return Ours(value=found, note="no value" if found is None else None)
