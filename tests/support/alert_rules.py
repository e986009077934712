"""The rule files of ``deploy/prometheus`` as data, and promtool as their judge."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import groupby
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
    return {rule["record"]: rule["expr"] for rule in _recording()}


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


def judge(cases: Iterable[Case], directory: Path) -> str:
    """Return what promtool has against these cases under every alert; nothing where it agrees.

    A rule that asks for nothing in which a case differs says what it says of the healthy installation: those are judged
    under ``healthy_cases``, once for each clock.
    """
    by_step: dict[float, list[Case]] = {}
    for case in cases:
        by_step.setdefault(case.minutes_apart, []).append(case)
    judged = [_file(directory, group, _moved_by(group)) for group in by_step.values()]
    return "".join(_promtool(judged))


def unnoticed(alert: str, directory: Path) -> list[str]:
    """Return those of the alert's mutants with which promtool agrees in every case; the shortest cases come first."""
    left = mutants(alert)
    for number, (_, group) in enumerate(groupby(sorted(cases_of(alert), key=_clock), key=_clock)):
        (folder := directory / str(number)).mkdir()
        cases, rule = list(group), alert_rules()[alert]
        judged = [_file(folder, cases, {alert: rule | {"expr": expression}}) for expression in left]
        left = [expression for expression, said in zip(left, _promtool(judged), strict=True) if not said]
    return left


def healthy_cases() -> list[Case]:
    """Return the healthy installation, watched for as long and as often as in any case."""
    clocks = {(case.minutes, case.minutes_apart) for case in CASES}
    return [
        Case(alert="", story=f"nothing differs for {minutes:g} minutes", minutes=minutes, minutes_apart=minutes_apart)
        for minutes, minutes_apart in sorted(clocks)
    ]


def cases_of(alert: str) -> list[Case]:
    """Return the cases in which this alert fires, and those that are told of it in particular."""
    return [case for case in CASES if case.alert == alert]


@cache
def _recording() -> list[dict[str, Any]]:
    """Return the rules that record, each after those that it asks for."""
    groups = yaml.safe_load(RECORDING.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _clock(case: Case) -> tuple[float, float]:
    return case.minutes, case.minutes_apart


def _moved_by(cases: Iterable[Case]) -> dict[str, dict[str, Any]]:
    """Return the alerts that ask for a metric in which one of the cases differs; all of them for one that does not."""
    differs = [{name.partition("{")[0] for name in case.series} for case in cases]
    if not all(differs):
        return alert_rules()
    metrics = set().union(*differs)
    return {name: rule for name, rule in alert_rules().items() if metrics & _asked(rule["expr"])}


@cache
def _asked(expression: str) -> frozenset[str]:
    """Return every word of an expression, and of those that record what it asks for: a metric is one of them."""
    words = frozenset(re.findall(r"[\w:]+", expression))
    assert "__name__" not in words, "a metric that is chosen by its name's pattern would not be found"
    return words.union(*(_asked(asked) for record, asked in recorded().items() if record in words))


def _file(directory: Path, cases: list[Case], rules: Mapping[str, dict[str, Any]]) -> Path:
    """Write cases of one step for promtool, with these alerts and what is recorded for them; return where."""
    place = directory / f"{len(list(directory.iterdir()))}.yml"
    step = f"{cases[0].minutes_apart * 60:g}s"
    asked = frozenset[str]().union(*(_asked(rule["expr"]) for rule in rules.values()))
    recording = [rule for rule in _recording() if rule["record"] in asked]
    groups = [{"name": "recording", "rules": recording}, {"name": "judged", "rules": list(rules.values())}]
    _write(place.with_suffix(".rules"), {"groups": groups})
    tests = [_test(case, step, rules) for case in cases]
    _write(place, {"rule_files": [place.with_suffix(".rules").name], "evaluation_interval": step, "tests": tests})
    return place


def _promtool(files: list[Path]) -> list[str]:
    """Return what promtool has against each file; nothing where it agrees."""
    if not files:
        return []
    # Its garbage is most often all of what it has: collecting it so often costs a quarter of the time.
    surroundings = os.environ | {"GOGC": "400"}
    command = [tool("promtool"), "test", "rules", *files]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=surroundings
    )
    _, *said = done.stdout.split("Unit Testing:  ")
    assert [one.partition("\n")[0] for one in said] == [str(file) for file in files], done.stdout
    answers = [one.partition("\n")[2].strip() for one in said]
    agreed = ["" if answer == "SUCCESS" else answer for answer in answers]
    assert (done.returncode == 0) == (not any(agreed)), done.stdout
    return agreed


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
