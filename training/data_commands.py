"""``cxr-train data``: what can be known of a collection before a network learns from it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.datasets.data_check import CheckReport, check_collection
from training.errors import RecipeError, RunError
from training.recipe import DataRecipe
from training.recipe_files import read_recipe

data_app = typer.Typer(no_args_is_help=True, help="Look at a collection before training on it.")

_DEFAULT_READER = "nih"


@data_app.callback()
def data() -> None:
    """Look at a collection before training on it."""


@data_app.command()
def check(
    directory: Annotated[Path, typer.Argument(help="The collection's folder.", show_default=False)],
    recipe: Annotated[
        Path | None, typer.Option(help="Check what this recipe would read, and its split; file or shipped name.")
    ] = None,
    preset: Annotated[list[str] | None, typer.Option(help="Preset of the recipe; repeat for several.")] = None,
    reader: Annotated[
        Literal["nih", "medmnist", "folders", "csv", "dicom"] | None,
        typer.Option(help=f"Form of the collection, without a recipe. Default: {_DEFAULT_READER}."),
    ] = None,
    healthy: Annotated[
        list[str] | None, typer.Option(help="Label, class or folder that means no finding; repeat for several.")
    ] = None,
    pixels: Annotated[bool, typer.Option(help="Read every film: duplicates, unreadable files.")] = True,
    against: Annotated[
        Path | None, typer.Option(help="Name the films that this other folder (of any form) holds too.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything found into this file.")] = None,
) -> None:
    """Report counts, patients, leaks, duplicates, label conflicts and unreadable films.

    Exit code 0 where there are only remarks, 1 where something must be fixed, 2 where there is nothing to check.
    """
    data_recipe, seed = _data_recipe(recipe, preset, reader, healthy)
    if against is not None and not pixels:
        raise RecipeError("--against compares pixels; leave --no-pixels out")
    console = Console()
    report = check_collection(directory, data_recipe, seed=seed, with_pixels=pixels, against=against, console=console)
    if json_file is not None:
        _write_json(json_file, report)
    _print_report(report, console)
    raise typer.Exit(1 if report.must_fix else 0)


def _data_recipe(
    recipe: Path | None, preset: list[str] | None, reader: str | None, healthy: list[str] | None
) -> tuple[DataRecipe, int | None]:
    """Return the recipe's data section and seed, or one made of the options, which plans no split."""
    if recipe is not None:
        if reader is not None or healthy:
            raise RecipeError("--recipe already names the reader and the healthy labels; leave --reader, --healthy out")
        parsed = read_recipe(recipe, *(preset or ()))
        return parsed.data, parsed.seed
    if preset:
        raise RecipeError("--preset needs --recipe")
    options = {"reader": reader or _DEFAULT_READER, **({"healthy": tuple(healthy)} if healthy else {})}
    shares = {"train": 0.7, "select": 0.1, "calibrate": 0.1, "test": 0.1}
    return DataRecipe.model_validate(options | shares), None


def _write_json(path: Path, report: CheckReport) -> None:
    try:
        path.write_text(json.dumps(dataclasses.asdict(report), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write {path} ({error.strerror})") from error


def _print_report(report: CheckReport, console: Console) -> None:
    table = Table("group", "value", title=f"{report.directory} ({report.reader})")
    for name in ("films", "patients", "unhealthy"):
        table.add_column(name, justify="right")
    for group, counts in report.counts.items():
        for number, (value, count) in enumerate(counts.items()):
            share = f"{count.unhealthy:,} ({count.unhealthy / count.films:.0%})"
            cells = (escape(value), f"{count.films:,}", f"{count.patients:,}", share)
            table.add_row("" if number else group, *cells, end_section=number == len(counts) - 1)
    console.print(table)
    if report.rows_without_film:
        console.print(f"{report.rows_without_film:,} rows of the table have no film at hand")
    if report.pixels is not None:
        figures = report.pixels
        console.print(
            f"{figures.films_read:,} films read, {figures.unreadable:,} unreadable; {figures.exact_duplicates:,} exact "
            f"duplicates, {figures.near_duplicate_pairs:,} near pairs\n({figures.method})"
        )
    _print_notices(report, console)


def _print_notices(report: CheckReport, console: Console) -> None:
    notes = [("[yellow]note[/]", notice) for notice in report.remarks]
    faults = [("[bold red]MUST FIX[/]", notice) for notice in report.must_fix]
    for word, notice in (*notes, *faults):
        count = f" ({len(notice.places):,})" if notice.places else ""
        console.print(f"{word}{count} {escape(str(notice))}", highlight=False)
    console.print("something must be fixed" if report.must_fix else "nothing must be fixed")
