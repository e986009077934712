"""``cxr-train run``, ``step``, ``prepare`` and ``status``: one run directory, whole or step by step.

torch is imported by the commands that need it, so that ``--help`` answers where the extra ``train`` is not installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from training.errors import RunError
from training.options import Data, Device, Init, Out, Preset, RecipeFile, Spark, Threads, To
from training.orders import Machine, context_of, ordered, require_machine
from training.recipe_files import read_recipe
from training.run_directory import STEP_NAMES, RunDirectory

run_app = typer.Typer()


@run_app.command()
def run(
    recipe: RecipeFile,
    data: Data,
    out: Out,
    init: Init = None,
    preset: Preset = None,
    device: Device = "auto",
    threads: Threads = 0,
    spark: Spark = None,
    until: Annotated[str, typer.Option(help=f"Stop after this step: {', '.join(STEP_NAMES)}.")] = STEP_NAMES[-1],
    to: To = None,
) -> None:
    """Run every step of RECIPE that is not finished yet: films in, a published bundle out.

    Under torchrun, all processes fine-tune together; the first one does everything else.
    """
    from training.following import dismiss, follow
    from training.line import run_line
    from training.ranks import joined_ranks

    _require_step(until)
    order, run_directory = ordered(read_recipe(recipe, *(preset or ())), data, init), RunDirectory(out)
    machine = Machine(device=device, threads=threads, spark=spark)
    with joined_ranks() as ranks:
        # Every rank finds out at once whether it can compute, not when rank 0 has decoded all films.
        require_machine(machine, ranks)
        if not ranks.leads:
            follow(lambda: context_of(run_directory, machine, ranks=ranks, to=to), ranks)
            return
        with run_directory.locked(create=True):
            run_directory.write_order(order)
            context = context_of(run_directory, machine, ranks=ranks, to=to)
            run_line(context, until=until)
        dismiss(ranks)
    if until == STEP_NAMES[-1]:
        context.console.print(f"bundle: {context.destination}", soft_wrap=True)
    # What an earlier order left behind is no report of this one.
    if STEP_NAMES.index(until) >= STEP_NAMES.index("evaluate"):
        context.console.print(f"report: {run_directory.report}", soft_wrap=True)


@run_app.command()
def step(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(STEP_NAMES)}.", show_default=False)],
    out: Out,
    device: Device = "auto",
    threads: Threads = 0,
    spark: Spark = None,
    to: To = None,
) -> None:
    """Run one step of a run directory, if its inputs are there and it is not finished."""
    from training.line import run_step
    from training.ranks import ALONE

    _require_step(name)
    run_directory = RunDirectory(out)
    with run_directory.locked():
        machine = Machine(device=device, threads=threads, spark=spark)
        require_machine(machine, ALONE)
        context = context_of(run_directory, machine, ranks=ALONE, to=to)
        if not run_step(context, name):
            context.console.print(f"{name}: finished earlier, kept")


@run_app.command()
def prepare(recipe: RecipeFile, data: Data, out: Out, init: Init = None, preset: Preset = None) -> None:
    """Make a run directory for RECIPE without running anything; `step` then runs its steps one by one."""
    order, run_directory = ordered(read_recipe(recipe, *(preset or ())), data, init), RunDirectory(out)
    with run_directory.locked(create=True):
        run_directory.write_order(order)


@run_app.command()
def status(out: Out) -> None:
    """Show which steps of a run directory are finished; outdated are those finished with other inputs than ordered."""
    from training.line import states
    from training.ranks import ALONE

    run_directory = RunDirectory(out)
    machine = Machine(device="cpu", threads=0)
    context = context_of(run_directory, machine, ranks=ALONE, to=_published_to(run_directory))
    bundle = context.order.recipe.bundle
    table = Table("step", "finished", title=f"{bundle.name} {bundle.version}")
    for name, state in states(context):
        table.add_row(name, state)
    context.console.print(table)


def _require_step(name: str) -> None:
    if name not in STEP_NAMES:
        raise RunError(f"there is no step '{name}'; the steps are {', '.join(STEP_NAMES)}")


def _published_to(run_directory: RunDirectory) -> Path | None:
    if run_directory.key("publish") is None:
        return None
    return Path(json.loads(run_directory.published.read_text(encoding="utf-8"))["bundle"])
