"""The rule files of ``deploy/prometheus`` as data, and promtool as their judge."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.alert_faults import CASES, Case
from tests.support.alert_series import input_series
from tests.support.tools import tool

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
ALERTS: Final = FOLDER / "alerts.rules.yml"
RECORDING: Final = FOLDER / "recording.rules.yml"
_COMPARISON: Final = re.compile(r"(==|>=|<=|>|<) (\d+(?:\.\d+)?)")


@cache
def alert_rules() -> dict[str, dict[str, Any]]:
    """Return every alert by its name."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    return {rule["alert"]: rule for rule in rules}


@cache
def recorded() -> dict[str, str]:
    """Return every recorded series' expression by its name."""
    groups = yaml.safe_load(RECORDING.read_text(encoding="utf-8"))["groups"]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}


def expressions() -> dict[str, str]:
    """Return every expression of both files by what it is called."""
    return recorded() | {name: rule["expr"] for name, rule in alert_rules().items()}


def metrics_in(expression: str) -> set[str]:
    """Return the metrics of ours, of Redis and of processes that an expression asks for; not what rules record."""
    return set(re.findall(r"(?<![\w:])(?:cxr|redis|process)_\w+|(?<![\w:])up(?=\{)", expression))


def mutants(alert: str) -> list[str]:
    """Return the alert's expression with each threshold moved far out and far in."""
    expression = alert_rules()[alert]["expr"]
    found = []
    for match in _COMPARISON.finditer(expression):
        operator, number = match[1], float(match[2])
        if operator == "==":
            moved = [f"== {1 - number:g}"]
        elif number == 0:
            moved = [f"{operator} 1000", f"{operator} -1"]
        else:
            moved = [f"{operator} {number * 2:g}", f"{operator} {number / 2:g}"]
        found += [expression[: match.start()] + text + expression[match.end() :] for text in moved]
    return found


def judge(cases: Iterable[Case], directory: Path, *, rules: Mapping[str, dict[str, Any]] | None = None) -> str:
    """Return what promtool has against these cases under these alerts; nothing where it agrees."""
    chosen = alert_rules() if rules is None else rules
    _write(directory / "alerts.yml", {"groups": [{"name": "judged", "rules": list(chosen.values())}]})
    asks_for_recorded = any("cxr:" in rule["expr"] for rule in chosen.values())
    files = ["alerts.yml", *([str(RECORDING)] if asks_for_recorded else [])]
    by_step: dict[float, list[Case]] = {}
    for case in cases:
        by_step.setdefault(case.minutes_apart, []).append(case)
    said = ""
    for minutes_apart, group in by_step.items():
        step = f"{minutes_apart * 60:g}s"
        document = {
            "rule_files": files,
            "evaluation_interval": step,
            "tests": [_test(case, step, chosen) for case in group],
        }
        _write(directory / "tests.yml", document)
        command = [tool("promtool"), "test", "rules", str(directory / "tests.yml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said += "" if done.returncode == 0 else done.stdout + done.stderr
    return said


def cases_of(alert: str) -> list[Case]:
    """Return the cases in which this alert fires, and those that are told of it in particular."""
    return [case for case in CASES if case.alert == alert]


def _test(case: Case, step: str, rules: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    steps = round(case.minutes / case.minutes_apart)
    series = input_series(case.series, minutes_apart=case.minutes_apart, steps=steps)
    expected = [
        {"eval_time": f"{case.minutes:g}m", "alertname": name, "exp_alerts": _fired(case, rule)}
        for name, rule in rules.items()
        # What looks a minute back sees nothing where five lie between two samples.
        if name not in case.also and not ("[1m]" in rule["expr"] and case.minutes_apart > 1)
    ]
    return {
        "name": f"{case.alert}: {case.story}",
        "interval": step,
        "input_series": series,
        "alert_rule_test": expected,
    }


def _fired(case: Case, rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    if rule["alert"] != case.alert or case.labels is None:
        return []
    return [
        {"exp_labels": dict(rule["labels"]) | dict(labels), "exp_annotations": rule["annotations"]}
        for labels in case.labels
    ]


def _write(path: Path, document: object) -> None:
    # JSON is YAML, and quotes what YAML would take for something else.
    path.write_text(json.dumps(document), encoding="utf-8")
