"""The card says what the report says: no figure in it was typed by hand."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.reports import simulated_films, simulated_report
from tests.support.training_runs import tiny_recipe
from training.reporting.card import write_card
from training.statistics.figures import show

_NUMBER = re.compile(r"\d+\.\d{3,}")


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(simulated_report()))
    return read


def test_every_chapter_that_people_look_for_is_there(report: dict[str, Any]) -> None:
    card = write_card(tiny_recipe(), report)
    for chapter in (
        "What it can and cannot do",
        "Intended use",
        "Operating points",
        "Figures on test patients",
        "At other prevalences",
        "Findings",
        "Gate",
        "Heat map",
        "Variants of the graph",
        "Data, labels and licences",
        "Limits",
    ):
        assert f"\n## {chapter}\n" in card
    assert "Not a medical device" in card
    assert "never *healthy*" in card


def test_figures_of_the_card_are_figures_of_the_report(report: dict[str, Any]) -> None:
    known = {shown for number in _numbers(report) for shown in _as_shown(number)}
    for points in report["operating_points"]["variants"].values():
        known |= {number for point in points["points"] for number in _NUMBER.findall(point["evidence"])}
    assert set(_NUMBER.findall(write_card(tiny_recipe(), report))) <= known


def test_another_report_gives_other_figures(report: dict[str, Any]) -> None:
    other = simulated_report(simulated_films(seed=9))
    assert show(report["test"]["auc"]) in write_card(tiny_recipe(), report)
    assert show(report["test"]["auc"]) not in write_card(tiny_recipe(), other)


def test_the_row_of_a_table_is_as_long_as_its_head(report: dict[str, Any]) -> None:
    widths: list[int] = []
    for line in write_card(tiny_recipe(), report).splitlines():
        if not line.startswith("|"):
            widths = []
            continue
        widths.append(len(re.findall(r"(?<!\\)\|", line)))
        assert widths[0] == widths[-1]


def test_a_network_without_gate_findings_or_remarks_says_so_or_is_silent(report: dict[str, Any]) -> None:
    bare = report | {"findings": [], "export": report["export"] | {"gate": None}}
    card = write_card(tiny_recipe(), bare)
    assert "None: films unlike those it learned from are scored like any other." in card
    assert "\n## Findings\n" not in card
    assert "\n## Remarks\n" not in card


def test_labels_of_nih_are_not_blamed_for_other_collections(report: dict[str, Any]) -> None:
    assert "Wang X, Peng Y" in write_card(tiny_recipe(), report)
    assert "Wang X, Peng Y" not in write_card(tiny_recipe(data={"reader": "folders"}), report)


def test_remarks_of_the_recipe_stand_as_they_are(report: dict[str, Any]) -> None:
    card = write_card(tiny_recipe(bundle={"remarks": ["Trained on a Tuesday."]}), report)
    assert "## Remarks\n\n- Trained on a Tuesday.\n" in card


def _numbers(document: Any) -> list[float]:
    if isinstance(document, dict):
        return [number for value in document.values() for number in _numbers(value)]
    if isinstance(document, list):
        return [number for value in document for number in _numbers(value)]
    return [float(document)] if isinstance(document, int | float) else []


def _as_shown(number: float) -> set[str]:
    # A certificate is printed as the sensitivity that its miss bound leaves.
    return {f"{abs(value):.{digits}f}" for value in (number, 1 - number) for digits in (3, 4)} | {f"{number:.3g}"}
