"""``cxr-train``: from labelled films to a bundle, by a recipe.

torch is imported by the commands that need it, so that ``--help`` answers where the extra ``train`` is not installed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.table import Table

from training.data_commands import data_app
from training.errors import LeaderFailed, RunError, TrainingError
from training.learning_commands import learning_app
from training.options import Device, Preset, RecipeFile, Threads
from training.provenance import weights_sha256
from training.recipe_files import read_recipe
from training.run_directory import STEP_NAMES, Order, RunDirectory
from training.weights_facts import read_weights_facts

if TYPE_CHECKING:
    from training.ranks import Ranks
    from training.step import StepContext

_HELP = "From labelled films to a bundle, by a recipe."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=_HELP)
app.add_typer(data_app, name="data")
app.add_typer(learning_app)

Data = Annotated[Path, typer.Option(help="Folder with the official table and the films.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Run directory; finished steps in it are kept.", show_default=False)]
Init = Annotated[
    Path | None, typer.Option(help="ImageNet weights with torchvision's keys; without, training starts from scratch.")
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
    """Run every step of RECIPE that is not finished yet: films in, a published bundle out.

    Under torchrun, all processes fine-tune together; the first one does everything else.
    """
    from training.following import dismiss, follow
    from training.line import run_line
    from training.machine import chosen_device
    from training.ranks import joined_ranks

    order, run_directory = _order(recipe, preset, data, init), RunDirectory(out)
    with joined_ranks() as ranks:
        # Every rank finds out at once whether it can compute, not when rank 0 has decoded all films.
        chosen_device(device, ranks)
        if not ranks.leads:
            follow(lambda: _context(run_directory, device=device, threads=threads, to=to, ranks=ranks), ranks)
            return
        with run_directory.locked(create=True):
            run_directory.write_order(order)
            context = _context(run_directory, device=device, threads=threads, to=to, ranks=ranks)
            run_line(context)
        dismiss(ranks)
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
    from training.ranks import ALONE

    if name not in STEP_NAMES:
        raise RunError(f"there is no step '{name}'; the steps are {', '.join(STEP_NAMES)}")
    run_directory = RunDirectory(out)
    with run_directory.locked():
        context = _context(run_directory, device=device, threads=threads, to=to, ranks=ALONE)
        if not run_step(context, name):
            context.console.print(f"{name}: finished earlier, kept")


@app.command()
def cross_validate(
    recipe: RecipeFile,
    data: Data,
    out: Out,
    folds: Annotated[int, typer.Option(min=2, max=20, help="Patient-wise folds; each is the test part once.")] = 5,
    only: Annotated[
        int | None, typer.Option(min=0, help="Run this fold and join nothing, so that processes can share the folds.")
    ] = None,
    init: Init = None,
    preset: Preset = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Run RECIPE up to its evaluation once for each fold, in OUT/fold-<i>, and join what the folds never saw."""
    from training.fold_runs import fold_directory, fold_recipe, join_runs, run_fold
    from training.ranks import ALONE
    from training.statistics.cross_validation import markdown_table

    order = _order(recipe, preset, data, init)
    for fold in range(folds) if only is None else (only,):
        run_directory = fold_directory(out, fold)
        with run_directory.locked(create=True):
            its_recipe = fold_recipe(order.recipe, fold, folds)
            run_directory.write_order(order.model_copy(update={"recipe": its_recipe}))
            run_fold(_context(run_directory, device=device, threads=threads, to=None, ranks=ALONE))
    if only is None:
        print(markdown_table(join_runs(out, order.recipe, folds)))


@app.command()
def prepare(recipe: RecipeFile, data: Data, out: Out, init: Init = None, preset: Preset = None) -> None:
    """Make a run directory for RECIPE without running anything; `step` then runs its steps one by one."""
    order, run_directory = _order(recipe, preset, data, init), RunDirectory(out)
    with run_directory.locked(create=True):
        run_directory.write_order(order)


@app.command()
def status(out: Out) -> None:
    """Show which steps of a run directory are finished; outdated are those finished with other inputs than ordered."""
    from training.line import states
    from training.ranks import ALONE

    run_directory = RunDirectory(out)
    context = _context(run_directory, device="cpu", threads=0, to=_published_to(run_directory), ranks=ALONE)
    bundle = context.order.recipe.bundle
    table = Table("step", "finished", title=f"{bundle.name} {bundle.version}")
    for name, state in states(context):
        table.add_row(name, state)
    context.console.print(table)


class _Interrupted(BaseException):
    """Ctrl-C; not a KeyboardInterrupt, because typer would make an exit code of 1 of it."""


def main() -> None:
    """Entry point. Our own errors are one line on standard error and exit code 2; Ctrl-C is one line and 130.

    Of several processes that torchrun started, each says so with its number; one that was sent home says nothing.
    """
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except LeaderFailed:
        sys.exit(0)
    except TrainingError as error:
        _leave(str(error), 2)
    except ModuleNotFoundError as error:
        _leave(f"needs {error.name}; install the extra: pip install 'cxr-triage[train,cpu]'", 2)
    except _Interrupted:
        _leave("interrupted; finished steps and checkpoints are kept, the same command goes on from them", 130)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise _Interrupted


def _leave(message: str, code: int) -> NoReturn:
    # As torchrun tells its processes; torch itself may be missing here.
    place = f"rank {os.environ['RANK']}: " if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
    print(f"cxr-train: {place}{message}", file=sys.stderr)
    sys.exit(code)


def _order(recipe: Path, preset: str | None, data: Path, init: Path | None) -> Order:
    # Resolved, because a later `step` may be run from another working directory.
    return Order(
        recipe=read_recipe(recipe, preset),
        data=data.resolve(),
        init=None if init is None else init.resolve(),
        init_sha256=None if init is None else weights_sha256(init),
        init_facts=None if init is None else read_weights_facts(init),
    )


def _published_to(run_directory: RunDirectory) -> Path | None:
    if run_directory.key("publish") is None:
        return None
    return Path(json.loads(run_directory.published.read_text(encoding="utf-8"))["bundle"])


def _context(run_directory: RunDirectory, *, device: str, threads: int, to: Path | None, ranks: Ranks) -> StepContext:
    from training.machine import chosen_device, console_of, use_threads
    from training.step import StepContext

    use_threads(threads)
    return StepContext(
        run=run_directory,
        order=run_directory.read_order(),
        console=console_of(ranks),
        device=chosen_device(device, ranks),
        threads=threads or (os.cpu_count() or 1),
        destination=to or run_directory.root / "bundle",
        ranks=ranks,
    )
