"""Each alert fires under its fault and is silent otherwise, says promtool; a threshold that is moved is noticed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.alert_faults import CASES, Case
from tests.support.alert_rules import ALERTS, FOLDER, RECORDING, alert_rules, cases_of, healthy_cases, judge, unnoticed
from tests.support.tools import tool

BOOK = FOLDER.parents[1] / "docs" / "operating.md"


def test_promtool_accepts_rules_and_configuration() -> None:
    commands = (["check", "rules", str(ALERTS), str(RECORDING)], ["check", "config", "--syntax-only", "prometheus.yml"])
    for command in commands:
        done = subprocess.run([tool("promtool"), *command], capture_output=True, text=True, check=False, cwd=FOLDER)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_rules_record_is_known_without_a_gap() -> None:
    """Prometheus forgets a sample after five minutes: one evaluation that comes late must not begin `for` anew."""
    intervals = re.findall(r"^    interval: (\d+)(s|m)$", RECORDING.read_text(encoding="utf-8"), re.MULTILINE)
    assert intervals
    assert all(int(number) * {"s": 1, "m": 60}[unit] <= 120 for number, unit in intervals)


@pytest.mark.parametrize("alert", sorted(alert_rules()))
def test_alert_fires_under_its_faults_not_in_its_calms_and_all_others_are_silent_in_them(
    alert: str, tmp_path: Path
) -> None:
    assert not judge(cases_of(alert), tmp_path)


@pytest.mark.parametrize("case", healthy_cases(), ids=lambda case: case.story)
def test_nothing_is_raised_by_a_healthy_installation(case: Case, tmp_path: Path) -> None:
    assert not judge([case], tmp_path)


def test_every_case_is_of_an_alert_that_exists() -> None:
    assert {case.alert for case in CASES} == alert_rules().keys()
    assert set().union(*(case.also for case in CASES)) <= alert_rules().keys()


@pytest.mark.parametrize("alert", sorted(alert_rules()))
def test_alert_is_told_of_a_fault_and_of_a_calm(alert: str) -> None:
    assert {case.labels is None for case in cases_of(alert)} == {True, False}


@pytest.mark.parametrize("alert", sorted(alert_rules()))
def test_threshold_that_is_moved_is_noticed(alert: str, tmp_path: Path) -> None:
    assert not unnoticed(alert, tmp_path)


@pytest.mark.parametrize("alert", sorted(alert_rules()))
def test_alert_says_how_urgent_it_is_what_it_means_and_where_to_read_on(alert: str) -> None:
    rule = alert_rules()[alert]
    assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"})
    assert {"summary", "action", "runbook"} == set(rule["annotations"])
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert page == "docs/operating.md"
    headings = re.findall(r"^#+ (.+)$", BOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
