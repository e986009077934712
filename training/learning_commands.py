"""``cxr-train pretrain`` and ``plan``: learning without labels, and how long learning takes.

torch is imported by the commands themselves, so that ``--help`` answers without the extra ``train``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from training.options import Device, Preset, RecipeFile, Threads
from training.recipe_files import read_recipe

learning_app = typer.Typer()


@learning_app.command()
def pretrain(
    recipe: RecipeFile,
    films: Annotated[Path, typer.Option(help="Folder with films; labels are not needed.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Weights file to write; its .json says where it comes from.")],
    apart_from: Annotated[
        Path | None, typer.Option(help="Labelled collection; films that look like one of its own are left out.")
    ] = None,
    preset: Preset = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Teach RECIPE's backbone on films without labels; give what it writes to `run --init`."""
    from training.learning.pretraining import PretrainContext
    from training.learning.pretraining import pretrain as pretrain_backbone
    from training.machine import chosen_device, console_of, use_threads
    from training.ranks import joined_ranks

    use_threads(threads)
    resolved = read_recipe(recipe, *(preset or ()))
    with joined_ranks() as ranks:
        context = PretrainContext(
            recipe=resolved,
            films=films,
            output=out,
            apart_from=apart_from,
            console=console_of(ranks),
            device=chosen_device(device, ranks),
            ranks=ranks,
        )
        pretrain_backbone(context)
    context.console.print(f"weights: {out}")


@learning_app.command()
def plan(
    recipe: RecipeFile,
    films: Annotated[int, typer.Option(min=1, help="Training films of the collection; of all NIH about 70,000.")],
    from_scratch: Annotated[bool, typer.Option(help="Without --init.")] = False,
    batches: Annotated[int, typer.Option(min=1, help="Batches to time, after as many to warm up.")] = 10,
    preset: Preset = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Time a few batches of every stage of RECIPE on this machine; print hours for a collection."""
    from training.machine import chosen_device, use_threads
    from training.plan import plan as plan_stages
    from training.ranks import ALONE

    use_threads(threads)
    place = chosen_device(device, ALONE)
    stages = plan_stages(
        read_recipe(recipe, *(preset or ())), films=films, has_weights=not from_scratch, device=place, batches=batches
    )
    if not stages:
        Console().print("nothing to time: no stage follows the head, which learns on frozen features within minutes")
        return
    table = Table("stage", "learns", "px", "epochs", "walks", "films/s", "hours", title=f"{films:,} films on {place}")
    for each in stages:
        row = (each.number, each.learns, each.size, each.epochs, each.walks, each.films_per_second, f"{each.hours:.2f}")
        table.add_row(*map(str, row))
    Console().print(table, f"{sum(each.hours for each in stages):.2f} hours of learning; decoding and validation extra")
