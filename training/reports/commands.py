"""``cxr-train reports``: which published systems have a recipe here, and what ours have to say beside their numbers.

Nothing that needs the extra ``train`` is imported before a command runs, so that ``--help`` answers without it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

reports_app = typer.Typer(help="The five published systems: recipes, and their numbers beside ours.")


@reports_app.callback(invoke_without_command=True)
def reports(context: typer.Context) -> None:
    """Print which recipe runs which report's system, what it reproduces, and the command."""
    if context.invoked_subcommand is None:
        _print_overview(Console())


@reports_app.command()
def collect(
    runs: Annotated[
        Path, typer.Argument(help="Folder with <recipe>-patient and <recipe>-image of all five.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="JSON file to write.", show_default=False)],
    preset: Annotated[
        list[str] | None, typer.Option(help="Preset of the runs by patient, repeat for several. Default: cpu.")
    ] = None,
) -> None:
    """Gather the figures that the reports printed from finished runs of ours, under both splits."""
    from training.reports.collecting import collect as collected
    from training.reports.documents import write_document

    results = collected(runs, preset or ("cpu",))
    write_document(results, out)
    figures = sum(len(found) for run in results.runs for found in run.figures.values())
    Console().print(f"{figures} figures of {len(results.runs)} runs: {out}", soft_wrap=True, markup=False)


@reports_app.command()
def count(
    table: Annotated[Path, typer.Argument(help="Data_Entry_2017_v2020.csv, or that gzipped.", show_default=False)],
    out: Annotated[Path, typer.Option(help="JSON file to write.", show_default=False)],
) -> None:
    """Count the official table of ChestX-ray14, for what the reports say of their data."""
    from training.reports.documents import write_document
    from training.reports.official_table import count_table

    write_document(count_table(table), out)


def _print_overview(console: Console) -> None:
    from training.recipe_files import shipped_recipes
    from training.reports.published import read_published

    recipes = shipped_recipes()
    table = Table("recipe", "report", "reproduces", "presets", title="The five reports")
    for report in read_published():
        presets = tomllib.loads(recipes[report.recipe].read_text(encoding="utf-8")).get("presets", {})
        table.add_row(report.recipe, report.number, report.reproduces, ", ".join(presets))
    console.print(table)
    for report in read_published():
        # Whole lines, so that they can be copied.
        console.print(f"\n{report.number}, {report.title}", soft_wrap=True, markup=False, highlight=False)
        for command in (*report.quick, *report.full_data):
            console.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)
    console.print("\nTheir numbers, what was wrong with them, and ours: docs/reports.md", highlight=False)
