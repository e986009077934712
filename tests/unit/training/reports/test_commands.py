"""``cxr-train reports`` answers from the packaged files, and collects from runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.collected_runs import write_finished_runs
from training.reports.commands import reports_app
from training.reports.official_table import official_table
from training.reports.published import read_published
from training.reports.results import read_results


def test_without_a_command_it_lists_recipes_presets_and_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    answer = CliRunner().invoke(reports_app, [])
    assert answer.exit_code == 0
    for report in read_published():
        assert report.recipe in answer.output
        assert report.number in answer.output
        assert all(f"  {command}\n" in answer.output for command in (*report.quick, *report.full_data))
    assert "cpu, small" in answer.output


def test_collect_writes_what_it_found(tmp_path: Path) -> None:
    write_finished_runs(tmp_path / "runs", ("small",))
    out = tmp_path / "results.json"
    answer = CliRunner().invoke(
        reports_app, ["collect", str(tmp_path / "runs"), "--out", str(out), "--preset", "small"]
    )
    assert answer.exit_code == 0, answer.output
    assert "10 runs" in answer.output
    assert {run.presets[0] for run in read_results(out).runs} == {"small"}


def test_count_writes_counts_of_a_table(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("Finding Labels,Patient ID,Patient Age,Patient Sex\nNo Finding,1,58,F\n")
    answer = CliRunner().invoke(reports_app, ["count", str(table), "--out", str(tmp_path / "counts.json")])
    assert answer.exit_code == 0, answer.output
    assert json.loads((tmp_path / "counts.json").read_text()).keys() == official_table().model_dump().keys()
