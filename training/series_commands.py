"""``cxr-train cross-validate`` and ``sweep``: several runs of one recipe, and what they say together.

torch is imported by the commands that need it, so that ``--help`` answers where the extra ``train`` is not installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.options import Data, Device, Init, Out, Preset, RecipeFile, Spark, Threads, To
from training.orders import Machine, context_of, ordered, require_machine
from training.recipe_files import read_recipe, read_sweep

series_app = typer.Typer()


@series_app.command()
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

    order = ordered(read_recipe(recipe, *(preset or ())), data, init)
    machine = Machine(device=device, threads=threads)
    for fold in range(folds) if only is None else (only,):
        run_directory = fold_directory(out, fold)
        with run_directory.locked(create=True):
            its_recipe = fold_recipe(order.recipe, fold, folds)
            run_directory.write_order(order.model_copy(update={"recipe": its_recipe}))
            run_fold(context_of(run_directory, machine, ranks=ALONE))
    if only is None:
        print(markdown_table(join_runs(out, order.recipe, folds)))


@series_app.command()
def sweep(
    recipe: RecipeFile,
    data: Data,
    out: Annotated[
        Path, typer.Option(help="Folder of the sweep; finished steps of runs in it are kept.", show_default=False)
    ],
    init: Annotated[
        list[str] | None,
        typer.Option(help="ARCHITECTURE=WEIGHTS, once for each; WEIGHTS alone where all runs have one architecture."),
    ] = None,
    preset: Preset = None,
    device: Device = "auto",
    threads: Threads = 0,
    spark: Spark = None,
    to: To = None,
) -> None:
    """Run every variation of RECIPE's sweep up to its evaluation, in OUT/runs/<name>, and publish the best one.

    Select patients choose it. Exit code 2 if any run failed; the others are run, compared and published all the same.
    """
    from training.ranks import ALONE
    from training.sweep_runs import SweepPlace, initial_weights, run_sweep

    found = read_sweep(recipe, *(preset or ()))
    weights = initial_weights(init or (), [swept.recipe.network.architecture for swept in found.runs])
    orders = {
        swept.name: ordered(swept.recipe, data, weights.get(swept.recipe.network.architecture)) for swept in found.runs
    }
    machine = Machine(device=device, threads=threads, spark=spark)
    require_machine(machine, ALONE)
    destination = to or out / "bundle"
    place = SweepPlace(
        out=out, context=lambda run: context_of(run, machine, ranks=ALONE, to=destination), orders=orders
    )
    run_sweep(found, place)
