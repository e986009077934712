"""The reports' numbers as data: whole, quoted as printed, and tied to recipes, traps and runs that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.shared_data import shared_data
from training.errors import RecipeError
from training.recipe_files import read_recipe, read_sweep, shipped_recipes
from training.reports.paths import parts_of
from training.reports.published import PrintedTable, PublishedFigure, PublishedReport, read_published
from training.reports.recomputed.everything import quoting
from training.reports.rounding import as_printed

REPORTS = {report.number: report for report in read_published()}
NUMBERS = sorted(REPORTS)
# Not in the report's own text: another source that the table names, or what a picture holds.
_FROM_ELSEWHERE = {("000", "parts"), ("004", "diseases")}


@pytest.fixture(params=NUMBERS)
def report(request: pytest.FixtureRequest) -> PublishedReport:
    return REPORTS[request.param]


def test_all_five_are_there() -> None:
    assert NUMBERS == ["000", "001", "002", "003", "004"]
    assert {report.recipe for report in REPORTS.values()} | {"triage"} == set(shipped_recipes())


def test_every_number_names_a_trap_that_is_explained(report: PublishedReport) -> None:
    named = {figure.trap for figure in report.all_figures()}
    assert named <= {trap.name for trap in report.traps}


def test_every_trap_quotes_numbers_that_are_computed(report: PublishedReport) -> None:
    for trap in report.traps:
        assert "{" not in quoting(trap.text, report)
    assert "{" not in quoting(report.comparable, report)
    assert "{" not in quoting(report.in_short, report)


def test_a_quote_of_nothing_is_an_error(report: PublishedReport) -> None:
    with pytest.raises(RecipeError, match="quotes 'no_such_number', which nothing computes"):
        quoting("about {no_such_number}", report)


def test_its_runs_are_those_of_the_shipped_sweep(report: PublishedReport) -> None:
    named = {
        parts_of(figure.path)[1]
        for figure in report.all_figures()
        if figure.path is not None and figure.path.startswith("runs.")
    }
    swept = {run.name for run in read_sweep(Path(report.recipe)).runs} if named else set()
    assert named <= swept


def test_it_runs_in_a_cpu_preset_under_both_splits(report: PublishedReport) -> None:
    assert read_recipe(Path(report.recipe), "cpu").data.split == "patient"
    assert read_recipe(Path(report.recipe), "cpu", "image").data.split == "image"


def test_every_command_names_its_recipe_and_presets_that_exist(report: PublishedReport) -> None:
    presets = tomllib.loads(shipped_recipes()[report.recipe].read_text())["presets"]
    for command in (*report.quick, *report.full_data):
        assert report.recipe in command.split()
        assert set(re.findall(r"--preset (\S+)", command)) <= set(presets)


def test_every_printed_number_stands_in_the_report(report: PublishedReport) -> None:
    """Quoted from the text itself, where it is at hand; thousands separators and spaces do not count."""
    text = re.sub(r"[,\s]", "", shared_data("..", "source-reports", report.source).read_text())
    printed = [(figure.key, figure.printed) for figure in report.figures]
    for name, table in report.tables.items():
        if (report.number, name) not in _FROM_ELSEWHERE:
            printed += [(name, cell) for row in table.rows for cell in row[1:]]
    checked = 0
    for name, cell in printed:
        # Eight, nine and no film stand there as words, or in no table; percent signs stand in 003's headings.
        if re.fullmatch(r"[\d.,]+( ?%)?", cell) and cell not in {"8", "9", "0"}:
            # The last digit of losses in 003's Table II stands on a line of its own there.
            quoted = cell[:-1] if (report.number, name) == ("003", "table_2") and "%" not in cell else cell
            assert quoted.rstrip(" %").replace(",", "") in text, f"{report.number}.{name}: {cell}"
            checked += 1
    assert checked


def test_everything_in_quotation_marks_stands_in_the_report(report: PublishedReport) -> None:
    text = " ".join(shared_data("..", "source-reports", report.source).read_text().split())
    told = " ".join((report.data, report.split, report.comparable, *(trap.text for trap in report.traps)))
    for quoted in re.findall(r'"([^"]+)"', told):
        assert quoted in text, quoted


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValidationError, match="rows of another length than the 2 columns: b"):
        PrintedTable(where="", columns=("name", "count"), rows=(("a", "1"), ("b",)))


def test_a_path_without_a_file_is_refused() -> None:
    with pytest.raises(ValidationError, match="file and path belong together"):
        PublishedFigure(key="k", name="n", printed="1", where="", how="", trap="", path="test.auc")


def test_a_table_gives_cells_and_counts_by_name() -> None:
    table = REPORTS["002"].tables["parts"]
    assert table.cell("Testing", "share") == "20%"
    assert table.count("Total", "total") == 112_119


def test_every_cell_of_a_grid_is_a_figure_of_its_own() -> None:
    report = REPORTS["001"]
    summary = [figure for figure in report.all_figures() if figure.key.startswith("figure_3.")]
    assert len(summary) == 11 * 12
    assert as_printed(summary[-1].printed).middle == pytest.approx(0.8917)
    assert next(figure for figure in summary if figure.key == "figure_3.11.AUC").printed == "0.7629"
