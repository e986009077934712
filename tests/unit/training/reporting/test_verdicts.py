"""The report claims what its intervals show, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.reports import simulated_films, simulated_report
from training.reporting.verdicts import Verdict, against, statements


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return simulated_report()


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.51, 0.9, Verdict.SHOWN),
        (0.5, 0.9, Verdict.NOT_SHOWN),
        (0.2, 0.5, Verdict.NOT_SHOWN),
        (0.2, 0.49, Verdict.FAILED),
        (None, None, Verdict.NOT_SHOWN),
    ],
)
def test_an_interval_that_holds_the_boundary_shows_nothing(
    low: float | None, high: float | None, verdict: Verdict
) -> None:
    assert against({"value": 0.5, "low": low, "high": high}, 0.5) is verdict


def test_a_network_behind_hog_is_said_to_have_failed(report: dict[str, Any]) -> None:
    rival = report["baselines"]["hog_logistic_regression"]
    behind = {"value": -0.1, "low": -0.2, "high": -0.01, "note": None}
    changed = report | {"baselines": {"hog_logistic_regression": rival | {"network_ahead_by": behind}}}
    assert _verdict(changed, "HOG") is Verdict.FAILED


@pytest.mark.parametrize(("rejected", "verdict"), [(False, Verdict.HELD), (True, Verdict.FAILED)])
def test_a_certificate_that_is_not_rejected_has_held_and_no_more(
    report: dict[str, Any], rejected: bool, verdict: Verdict
) -> None:
    checked = report["certificates"]["sens95"] | {"rejected_at_01": rejected}
    assert _verdict(report | {"certificates": {"sens95": checked}}, "promise") is verdict


def test_a_default_that_flags_everything_has_shown_nothing(report: dict[str, Any]) -> None:
    points = report["operating_points"] | {"default": "sens99"}
    assert _verdict(report | {"operating_points": points}, "promise") is Verdict.NOT_SHOWN


def test_shared_patients_fail(report: dict[str, Any]) -> None:
    leaking = report | {"provenance": report["provenance"] | {"shared_patients": 3}}
    assert _verdict(leaking, "two parts") is Verdict.FAILED


def test_skill_at_some_prevalences_only_is_partly_shown(report: dict[str, Any]) -> None:
    skills = [(0.1, 0.2), (-0.1, 0.2)]
    rows = [
        {
            "prevalence": 0.1,
            "operating_points": {"f3_here": {"f3_skill": {"value": 0.1, "low": low, "high": high, "note": None}}},
        }
        for low, high in skills
    ]
    assert _verdict(report | {"prevalences": rows}, "another prevalence") is Verdict.PARTLY


def test_unknown_views_show_nothing_about_views() -> None:
    report = simulated_report(simulated_films(views=False))
    assert _verdict(report, "bedside") is Verdict.NOT_SHOWN


def test_a_flattened_auc_shows_nothing_about_findings_but_the_mean_of_single_ones_does(report: dict[str, Any]) -> None:
    chance = {"value": 0.5, "low": 0.45, "high": 0.55, "note": None}
    flattering = report | {"multilabel": report["multilabel"] | {"flattened_auc": 0.9}, "findings_mean_auc": chance}
    assert _verdict(flattering, "common findings above rare ones") is Verdict.NOT_SHOWN
    above = report | {"findings_mean_auc": chance | {"low": 0.51}}
    assert _verdict(above, "common findings above rare ones") is Verdict.SHOWN
    claims = [one.claim for one in statements(report | {"multilabel": None})]
    assert not any("rare ones" in claim for claim in claims)


def _verdict(report: dict[str, Any], claim: str) -> Verdict:
    (found,) = [one.verdict for one in statements(report) if claim in one.claim]
    return found
