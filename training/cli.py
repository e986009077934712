"""``cxr-train``: from labelled films to a bundle, by a recipe.

torch is imported by the commands that need it, so that ``--help`` answers where the extra ``train`` is not installed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from training.errors import RecipeError, RunError, TrainingError
from training.provenance import weights_sha256
from training.recipe import read_recipe
from training.run_directory import STEP_NAMES, Order, RunDirectory

if TYPE_CHECKING:
    import torch

    from training.step import StepContext

_HELP = "From labelled films to a bundle, by a recipe."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=_HELP)

RecipeFile = Annotated[Path, typer.Argument(help="TOML file, or the name of a shipped recipe.", show_default=False)]
Data = Annotated[Path, typer.Option(help="Folder with the official table and the films.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Run directory; finished steps in it are kept.", show_default=False)]
Init = Annotated[
    Path | None, typer.Option(help="ImageNet weights with torchvision's keys; without, training starts from scratch.")
]
Preset = Annotated[str | None, typer.Option(help="Table under [presets] in the recipe that overrides its values.")]
Device = Annotated[str, typer.Option(help="auto, cpu, or a torch device such as cuda:1.")]
Threads = Annotated[
    int, typer.Option(min=0, help="Threads of torch and onnxruntime; 0: torch chooses, onnxruntime takes one per core.")
]
To = Annotated[Path | None, typer.Option(help="Where the bundle goes; it must not exist. Default: OUT/bundle.")]


@app.command()
def run(
    recipe: RecipeFile,
    data: Data,
    out: Out,
    init: Init = None,
    preset: Preset = None,
    device: Device = "auto",
    threads: Threads = 0,
    to: To = None,
) -> None:
    """Run every step of RECIPE that is not finished yet: films in, a published bundle out."""
    from training.line import run_line

    order, run_directory = _order(recipe, preset, data, init), RunDirectory(out)
    with run_directory.locked(create=True):
        run_directory.write_order(order)
        context = _context(run_directory, device=device, threads=threads, to=to)
        run_line(context)
    context.console.print(f"bundle: {context.destination}\nreport: {run_directory.report}")


@app.command()
def step(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(STEP_NAMES)}.", show_default=False)],
    out: Out,
    device: Device = "auto",
    threads: Threads = 0,
    to: To = None,
) -> None:
    """Run one step of a run directory, if its inputs are there and it is not finished."""
    from training.line import run_step

    if name not in STEP_NAMES:
        raise RunError(f"there is no step '{name}'; the steps are {', '.join(STEP_NAMES)}")
    run_directory = RunDirectory(out)
    with run_directory.locked():
        context = _context(run_directory, device=device, threads=threads, to=to)
        if not run_step(context, name):
            context.console.print(f"{name}: finished earlier, kept")


@app.command()
def prepare(recipe: RecipeFile, data: Data, out: Out, init: Init = None, preset: Preset = None) -> None:
    """Make a run directory for RECIPE without running anything; `step` then runs its steps one by one."""
    order, run_directory = _order(recipe, preset, data, init), RunDirectory(out)
    with run_directory.locked(create=True):
        run_directory.write_order(order)


@app.command()
def status(out: Out) -> None:
    """Show which steps of a run directory are finished."""
    run_directory = RunDirectory(out)
    order = run_directory.read_order()
    table = Table("step", "finished", title=f"{order.recipe.bundle.name} {order.recipe.bundle.version}")
    for name in STEP_NAMES:
        table.add_row(name, "yes" if run_directory.key(name) else "no")
    Console().print(table)


def main() -> None:
    """Entry point. Our own errors are one line on standard error and exit code 2."""
    try:
        app()
    except TrainingError as error:
        print(f"cxr-train: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        print(f"cxr-train: needs {error.name}; install the extra: pip install 'cxr-triage[train,cpu]'", file=sys.stderr)
        sys.exit(2)


def _order(recipe: Path, preset: str | None, data: Path, init: Path | None) -> Order:
    # Resolved, because a later `step` may be run from another working directory.
    return Order(
        recipe=read_recipe(recipe, preset),
        data=data.resolve(),
        init=None if init is None else init.resolve(),
        init_sha256=None if init is None else weights_sha256(init),
    )


def _context(run_directory: RunDirectory, *, device: str, threads: int, to: Path | None) -> StepContext:
    import torch

    from training.step import StepContext

    if threads:
        torch.set_num_threads(threads)
    return StepContext(
        run=run_directory,
        order=run_directory.read_order(),
        console=Console(),
        device=_device(device),
        threads=threads or (os.cpu_count() or 1),
        destination=to or run_directory.root / "bundle",
    )


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RecipeError(f"torch cannot use the device '{name}': {str(error).splitlines()[0]}") from error
    return device
