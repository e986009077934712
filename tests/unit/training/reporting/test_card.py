"""The card says what the report says: no figure in it was typed by hand."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.reports import simulated_films, simulated_network, simulated_report
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


FINDINGS_ONLY = simulated_network(
    architecture="convolutional",
    filters=(8, 16),
    pooling="flatten",
    any_finding=False,
    findings=("Mass", "Hernia"),
    age_sex=True,
    normalisation="film",
)


def test_a_network_of_findings_with_age_and_sex_is_described_as_it_is(report: dict[str, Any]) -> None:
    card = write_card(tiny_recipe(), report | {"network": FINDINGS_ONLY})
    assert "flattened maps, age and sex joined to the features, tanh-512, 2 sigmoids; 24,557,000 parameters" in card
    assert "each film's own mean and deviation" in card
    assert "## What the probability rests on" in card
    assert "1 minus the product" in card
    assert "is the log-odds of any finding before calibration" in card
    assert "for unknown age and sex" in card


def test_the_usual_network_is_said_nothing_of_that_it_has_not(report: dict[str, Any]) -> None:
    card = write_card(tiny_recipe(), report)
    assert "age and sex" not in card
    assert "## What the probability rests on" not in card
    assert "is the difference of the two logits" in card
    assert ", offset" not in card


def test_a_calibration_that_could_not_be_fitted_says_so(report: dict[str, Any]) -> None:
    export = report["export"] | {"calibration_offset": -1.5, "calibration_remark": "these films tell nothing"}
    card = write_card(tiny_recipe(), report | {"export": export})
    assert "temperature 1.210, offset -1.500, prior shift +0.000" in card
    assert "These films tell nothing." in card


def test_films_that_were_left_out_are_counted(report: dict[str, Any]) -> None:
    left_out = {"unreadable": {"films": 3, "parts": {"test": 1, "train": 2}}, "too_old": 14}
    card = write_card(tiny_recipe(), report | {"left_out": left_out})
    assert "Films that do not decode and were left out: 3 (test 1, train 2)." in card
    assert "Rows of patients older than `data.oldest_years` that were left out: 14." in card
    assert "left out" not in write_card(tiny_recipe(data={"leave_out_disputed": False}), report)


def test_a_network_without_findings_has_no_chapter_of_them(report: dict[str, Any]) -> None:
    assert "\n## All findings together\n" in write_card(tiny_recipe(), report)
    assert "\n## All findings together\n" not in write_card(tiny_recipe(), report | {"multilabel": None})


def _numbers(document: Any) -> list[float]:
    if isinstance(document, dict):
        return [number for value in document.values() for number in _numbers(value)]
    if isinstance(document, list):
        return [number for value in document for number in _numbers(value)]
    return [float(document)] if isinstance(document, int | float) else []


def _as_shown(number: float) -> set[str]:
    # A certificate is printed as the sensitivity that its miss bound leaves.
    return {f"{abs(value):.{digits}f}" for value in (number, 1 - number) for digits in (3, 4)} | {f"{number:.3g}"}
