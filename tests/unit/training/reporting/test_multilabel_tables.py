"""The per-class table is the report's section, as a file for machines and as one for people."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.support.reports import simulated_report
from training.reporting import tables

AVERAGES = ["micro avg", "macro avg", "weighted avg", "samples avg"]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return simulated_report()


@pytest.fixture(scope="module")
def section(report: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = report["multilabel"]
    return found


def test_the_csv_holds_every_number_in_full(section: dict[str, Any], tmp_path: Path) -> None:
    tables.write_per_class(section, tmp_path)
    with (tmp_path / "per_class.csv").open(newline="") as file:
        rows = {row["finding"]: row for row in csv.DictReader(file)}
    assert list(rows) == [*(found["finding"] for found in section["findings"]), *AVERAGES]
    for found in section["findings"]:
        row = rows[found["finding"]]
        assert int(row["support"]) == found["support"]
        assert int(row["true_positives"]) == found["true_positives"]
        assert (float(row["auc"]) if row["auc"] else None) == found["auc"]
        assert float(row["precision"]) == found["precision"]
    assert float(rows["samples avg"]["f1"]) == section["averages"]["samples"]["f1"]
    assert rows["samples avg"]["true_positives"] == ""


def test_the_markdown_is_the_table_of_the_page_and_names_the_positive_class(
    section: dict[str, Any], tmp_path: Path
) -> None:
    tables.write_per_class(section, tmp_path)
    text = (tmp_path / "per_class.md").read_text()
    table = tables.per_class(section)
    assert "positive: finding present" in table.caption
    assert text == tables.markdown(table)
    assert text.count("\n| ") == len(table.rows) + 2


def test_the_network_stands_beside_a_predictor_that_knows_only_how_common_findings_are(section: dict[str, Any]) -> None:
    network, shares, nothing = tables.together(section).rows
    assert network[1] == f"{section['flattened_auc']:.4f}"
    assert shares[1] == f"{section['prevalence_only']['flattened_auc']:.4f}"
    assert shares[3] == "0.500"
    assert nothing[4] == f"{section['all_negative_accuracy']:.4f}"


def test_a_finding_without_positives_has_a_dash_and_no_number(section: dict[str, Any]) -> None:
    absent = section["findings"][0] | {"auc": None, "support": 0}
    table = tables.per_class(section | {"findings": [absent]})
    assert table.rows[0][5] == "–"


def test_either_class_can_be_the_positive_one_and_both_are_named(report: dict[str, Any]) -> None:
    unhealthy, normal = tables.positive_classes(report).rows
    assert (unhealthy[0], normal[0]) == ("unhealthy", "normal")
    assert (unhealthy[1], unhealthy[2], unhealthy[3]) == (normal[2], normal[1], normal[3])


@pytest.mark.parametrize("name", ["ratios", "exact_ratios", "f3_figures"])
def test_tables_of_films_name_their_positive_class(name: str, report: dict[str, Any]) -> None:
    caption = getattr(tables, name)(report["test"], "Test films").caption
    assert "positive: unhealthy" in caption
