"""``docs/reports.md`` is made of what was read and computed, whatever was run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.collected_runs import write_finished_runs
from training.errors import RunError
from training.reports.collecting import collect
from training.reports.flagship import Flagship, read_flagship
from training.reports.page import reports_page
from training.reports.page_tables import anchor
from training.reports.published import read_published
from training.reports.recomputed.everything import recomputed
from training.reports.results import Results
from training.reports.statement import Verdict

BUNDLES = Path(__file__).resolve().parents[4] / "model" / "bundles"


@pytest.fixture(scope="module")
def flagship() -> Flagship:
    return read_flagship(BUNDLES)


@pytest.fixture(scope="module")
def empty(flagship: Flagship) -> str:
    return reports_page(Results(runs=()), flagship, "generated")


@pytest.fixture(scope="module")
def filled(flagship: Flagship, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("runs")
    write_finished_runs(folder)
    return reports_page(collect(folder, ("cpu",)), flagship, "generated")


def test_without_results_every_column_of_ours_says_so(empty: str) -> None:
    assert empty.count("not run yet: `make reports") == 5
    assert "| AUC, test | 0.8235 (section V) |" in empty
    assert "| not run yet | not run yet |" in empty
    assert "| 0.0001 | 0.8273 | 0.9492 | 0.1628 |" in empty


def test_results_fill_both_columns(filled: str) -> None:
    assert "not run yet" not in filled
    row = next(line for line in filled.splitlines() if line.startswith("| accuracy, test | 0.6821"))
    assert row.endswith("| 0.125 (0.100 to 0.200) | 0.125 (0.100 to 0.200) |")
    assert "| 40 | 52.00 % · 12.5 % · 12.5 % | 0.33 · 0.125 · 0.125 | 0.72 · 0.125 · 0.125 |" in filled
    assert "| Hernia | not printed | 0.125 (0.100 to 0.200) | 0.125 (0.100 to 0.200) |" in filled


def test_results_of_a_recipe_that_has_changed_say_so(flagship: Flagship, tmp_path: Path, filled: str) -> None:
    write_finished_runs(tmp_path)
    run, *others = collect(tmp_path, ("cpu",)).runs
    changed = Results(runs=(run.model_copy(update={"recipe_sha256": "0" * 64}), *others))
    assert reports_page(changed, flagship, "generated").count("**the recipe has changed since**") == 1
    assert "the recipe has changed since" not in filled


def test_ours_comes_in_the_unit_of_theirs_and_to_as_many_digits(filled: str) -> None:
    assert "| accuracy of the best network | 61.00 % (table III, 50 epochs; 95 % interval below) |" in filled
    assert "| 12.5 % (10.0 to 20.0) | 12.5 % (10.0 to 20.0) |" in filled
    assert "| 0.0001 | 0.8273 · 0.1250 · 0.1250 |" in filled


def test_no_table_is_wider_than_four_columns_of_figures(filled: str) -> None:
    assert "| experiment | Testing Binary Acc | AUC | Precision - Micro | Precision - Macro |" in filled
    assert "| experiment | Recall - Micro | Recall - Macro | F1 Score - Micro | F1 Score - Macro |" in filled


def test_shared_patients_stand_beside_the_split_that_shares_them(filled: str) -> None:
    assert "| image | cpu, image | 500 | 180 (90), 50% | 7 |" in filled
    assert "| patient | cpu | 500 | 180 (90), 50% | 0 |" in filled
    assert "| 0 | 1 run | 1.5 |" in filled


@pytest.mark.parametrize("state", ["empty", "filled"])
def test_every_table_is_rectangular(state: str, request: pytest.FixtureRequest) -> None:
    page: str = request.getfixturevalue(state)
    width = 0
    for line in page.splitlines():
        if not line.startswith("|"):
            width = 0
        elif not width:
            width = line.count("|")
        else:
            assert line.count("|") == width, line


def test_every_contradiction_is_listed(empty: str) -> None:
    listed = empty.partition("## What contradicts")[2]
    for number, statements in recomputed().items():
        for statement in statements:
            is_listed = f"| {number} | {statement.about} |" in listed
            assert is_listed == (statement.verdict is Verdict.CONTRADICTS), statement.key


def test_every_recipe_has_its_commands_and_its_place(empty: str) -> None:
    for report in read_published():
        assert f"(#{anchor(f'{report.number} · {report.recipe}')})" in empty
        assert all(command in empty for command in (*report.quick, *report.full_data))


def test_the_flagship_is_quoted_from_the_log_and_its_bundle(flagship: Flagship, empty: str) -> None:
    assert (flagship.auc, flagship.low, flagship.high) == (0.816, 0.790, 0.841)
    assert f"{flagship.auc:.3f} ({flagship.low:.3f} to {flagship.high:.3f})" in empty


def test_a_flagship_without_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no report of nih-triage-128"):
        read_flagship(tmp_path)
