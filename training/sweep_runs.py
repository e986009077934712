"""Runs every variation of a recipe up to ``evaluate``, compares them, publishes the one that select patients choose.

A variation is an ordinary run directory, ``OUT/runs/<name>``: finished steps in it are kept, so that a sweep that was
killed is simply started again; steps that two variations share are computed once. One that fails is recorded with its
error and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from training.errors import RecipeError, RunError, TrainingError
from training.line import run_line
from training.machine import console_of
from training.progress import progress_bar
from training.ranks import ALONE
from training.recipe import Architecture
from training.recipe_files import Sweep, SweptRecipe
from training.reporting.sweep import forget_tables, write_tables
from training.run_directory import Order, RunDirectory
from training.step import StepContext
from training.sweep_figures import run_figures

_LAST = "evaluate"
_IMAGE_SPLIT = (
    'split = "image" lets patients share parts of the split: figures of this sweep only reproduce others that leaked '
    "alike, and nothing of it is published"
)


@dataclass(frozen=True, kw_only=True)
class SweepPlace:
    """Where a sweep runs: its folder, the order of each run by name, and what makes a step's context of a run."""

    out: Path
    orders: Mapping[str, Order]
    context: Callable[[RunDirectory], StepContext]

    def run_directory(self, name: str) -> RunDirectory:
        """Return the directory of one run."""
        return RunDirectory(self.out / "runs" / name)


def initial_weights(given: Sequence[str], architectures: Sequence[str]) -> dict[str, Path]:
    """Return the weights file of each architecture, from ``ARCHITECTURE=PATH`` or a lone path.

    Raises
    ------
    RecipeError
        If a lone path meets several architectures, an architecture is given twice, or no run has it.
    """
    used = list(dict.fromkeys(architectures))
    found: dict[str, Path] = {}
    for text in given:
        name, is_named, path = text.partition("=")
        if not is_named or name not in get_args(Architecture):
            if len(used) > 1:
                raise RecipeError(f"--init {text}: the runs are {', '.join(used)}; say --init {used[-1]}={text}")
            name, path = used[0], text
        if name not in used:
            raise RecipeError(f"--init {text}: no run is a {name}; they are {', '.join(used)}")
        if name in found:
            raise RecipeError(f"--init {text}: {name} is given twice")
        found[name] = Path(path)
    return found


def run_sweep(sweep: Sweep, place: SweepPlace) -> dict[str, Any]:
    """Run what is not finished, publish the best, write ``sweep.json``, ``.csv``, ``.md``, ``.png``; return the JSON.

    Tables of an earlier sweep go first, so that none outlives the runs it compares.

    Raises
    ------
    PublishRefused
        If the chosen run fails a check; the tables are written all the same and say so.
    RunError
        If any run failed, after all else is done; if none succeeded, nothing is published.
    """
    console = console_of(ALONE)
    with RunDirectory(place.out).locked(create=True):
        forget_tables(place.out)
        runs = _run_all(sweep, place, console)
        chosen = _chosen(runs, sweep.choose)
        document = {
            "recipe": sweep.base.bundle.name,
            "recipe_sha256": sweep.base.sha256,
            "split": sweep.base.data.split,
            "choose": sweep.choose,
            "chosen": None if chosen is None else chosen["name"],
            "published": False,
            "not_published_because": None,
            "runs": runs,
        }
        try:
            document |= _published(place, document, console)
        except TrainingError as error:
            write_tables(document | {"not_published_because": str(error)}, place.out)
            raise
        write_tables(document, place.out)
        console.print(f"table: {place.out / 'sweep.md'}", soft_wrap=True, markup=False)
    _require_all(runs)
    return document


def _run_all(sweep: Sweep, place: SweepPlace, console: Console) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with progress_bar(total=len(sweep.runs), label="sweep", console=console) as advance:
        for number, swept in enumerate(sweep.runs):
            console.rule(f"{swept.name} ({number + 1} of {len(sweep.runs)})")
            earlier = [place.run_directory(other.name) for other in sweep.runs[:number]]
            found.append(_run(swept, place, earlier, console))
            advance(swept.name)
    return found


def _run(swept: SweptRecipe, place: SweepPlace, earlier: Sequence[RunDirectory], console: Console) -> dict[str, Any]:
    run = place.run_directory(swept.name)
    entry = {"name": swept.name, "set": dict(swept.changes)}
    try:
        with run.locked(create=True):
            run.write_order(place.orders[swept.name])
            # One console for all: bars of steps are shown below that of the sweep.
            run_line(replace(place.context(run), console=console), until=_LAST, others=earlier)
            return {**entry, **run_figures(run), "error": None}
    except TrainingError as error:
        console.print(f"FAILED: {error}", style="bold red", markup=False)
        facts = {"architecture": swept.recipe.network.architecture, "class_weights": swept.recipe.loss.class_weights}
        nothing = dict.fromkeys(("parameters", "seconds", "train", "select", "test"))
        return {**entry, **facts, **nothing, "error": str(error)}


def _chosen(runs: Sequence[dict[str, Any]], choose: str) -> dict[str, Any] | None:
    """Return the run with the most of ``choose`` on select patients (``loss``: the least); the first of equals."""
    defined = [run for run in runs if run["error"] is None and run["select"][choose] is not None]
    sign = -1 if choose == "loss" else 1
    return max(defined, key=lambda run: sign * run["select"][choose], default=None)


def _published(place: SweepPlace, document: dict[str, Any], console: Console) -> dict[str, Any]:
    """Publish the chosen run, or say why not; return what the document says of it."""
    name, figure = document["chosen"], document["choose"]
    if name is None:
        why = f"no run has the figure '{figure}' on select patients"
        console.print(f"NOTHING PUBLISHED: {why}", style="bold red", markup=False)
        return {"not_published_because": why}
    console.print(f"best by {figure} on select patients: {name}", markup=False)
    run = place.run_directory(name)
    context = replace(place.context(run), console=console)
    if context.order.recipe.data.split == "image":
        console.print(f"NOTHING PUBLISHED: {_IMAGE_SPLIT}", style="bold red", markup=False)
        return {"not_published_because": _IMAGE_SPLIT}
    with run.locked():
        run_line(context)
    console.print(f"bundle: {context.destination}", soft_wrap=True, markup=False)
    return {"published": True}


def _require_all(runs: Sequence[dict[str, Any]]) -> None:
    failed = {run["name"]: run["error"] for run in runs if run["error"] is not None}
    if failed:
        first = next(iter(failed.values()))
        raise RunError(f"{len(failed)} of {len(runs)} runs failed ({', '.join(failed)}), the first of them: {first}")
