"""What the threshold explorer computes in the browser, held against scipy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from scipy import optimize, stats

from tests.browser.conftest import OpenPage
from tests.browser.watched import WatchedPage
from tests.support.stack import StackProcess

REPORT: Final = Path("model/bundles/nih-triage-128/report.json")
PREVALENCES: Final = (0.01, 0.1, 0.46, 0.9)
# A module is asked for a list of calls at once: one round to the browser for all of a test's cases.
_CALL = """async ([name, calls]) => {
  const module = await import("/web/explorer_arithmetic.js");
  const said = (value) => typeof value !== "number" || Number.isFinite(value) ? value : String(value);
  return calls.map((arguments_) => JSON.parse(JSON.stringify(module[name](...arguments_), (_, value) => said(value))));
}"""


@pytest.fixture
def page(open_page: OpenPage, stack: StackProcess) -> WatchedPage:
    """A document of the service that asks it for nothing: the module is to be had, and all else is still."""
    return open_page(f"{stack.wait_ready()}/web/icon.svg", expected=("404",))  # the browser wants a favicon


def ask(page: WatchedPage, name: str, *calls: list[Any]) -> list[Any]:
    answers: list[Any] = page.page.evaluate(_CALL, [name, list(calls)])
    return answers


def shipped_table() -> dict[str, Any]:
    """The table of the shipped bundle: its test films, at each threshold at which one of them changes sides."""
    report = json.loads(REPORT.read_text())
    roc, positives, negatives = report["curves"]["roc"], report["test"]["unhealthy"], report["test"]["healthy"]
    rows = [
        {"threshold": at, "true_positives": round(r * positives), "false_positives": round(f * negatives)}
        for at, r, f in zip(roc["threshold"], roc["sensitivity"], roc["false_positive_rate"], strict=True)
        if at is not None
    ]
    return {"positives": positives, "negatives": negatives, "evidence": "test", "rows": rows}


def row_at(table: dict[str, Any], threshold: float) -> tuple[int, int]:
    """Count by definition: the test films that score at or above the threshold."""
    reached = [row for row in table["rows"] if row["threshold"] >= threshold]
    if threshold == 0:
        return table["positives"], table["negatives"]
    return max(((row["true_positives"], row["false_positives"]) for row in reached), default=(0, 0))


def wilson(hits: int, trials: int) -> tuple[float, float, float]:
    low, high = stats.binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    return hits / trials, float(low), float(high)


def ratio_limits(x: tuple[float, float, float], y: tuple[float, float, float]) -> tuple[float, float]:
    """Limits of x / y where those of the difference x - ratio * y cross zero, numerically (Donner and Zou 2012)."""

    def lower(ratio: float) -> float:
        return x[0] - ratio * y[0] - math.hypot(x[0] - x[1], ratio * (y[2] - y[0]))

    def upper(ratio: float) -> float:
        return x[0] - ratio * y[0] + math.hypot(x[2] - x[0], ratio * (y[0] - y[1]))

    low = optimize.brentq(lower, 0, x[0] / y[0], xtol=1e-14) if x[1] > 0 else 0.0
    return low, optimize.brentq(upper, x[0] / y[0], 1e9, xtol=1e-12) if y[1] > 0 else math.inf


def test_shares_and_their_intervals_are_wilsons(page: WatchedPage) -> None:
    cases = [
        [hits, trials] for trials in (1, 7, 69, 91, 4000) for hits in sorted({0, 1, trials // 3, trials - 1, trials})
    ]
    for (hits, trials), found in zip(cases, ask(page, "wilson", *cases), strict=True):
        assert (found["value"], found["low"], found["high"]) == pytest.approx(wilson(hits, trials), abs=1e-12)
    assert ask(page, "wilson", [0, 0]) == [{"value": None, "low": 0, "high": 1}], "no films are no estimate"


def test_threshold_amounts_to_the_films_that_reach_it(page: WatchedPage) -> None:
    table = shipped_table()
    known = [row["threshold"] for row in table["rows"]]
    asked = [0.0, 1e-9, *known, *(at + 1e-9 for at in known), *np.linspace(0.05, 1, 40)]
    rows = ask(page, "rowsOf", [table])[0]
    places = ask(page, "indexAt", *([rows, at] for at in asked))
    for at, place in zip(asked, places, strict=True):
        counted = rows[place]["true_positives"], rows[place]["false_positives"]
        assert counted == row_at(table, at), at
    assert [row["threshold"] for row in rows] == sorted({0.0, 1.0, *known})


@pytest.mark.parametrize("prevalence", PREVALENCES)
def test_consequences_are_those_of_the_table_at_the_sites_prevalence(page: WatchedPage, prevalence: float) -> None:
    table = shipped_table()
    thresholds = [row["threshold"] for row in table["rows"]]
    found = ask(page, "consequences", *([table, at, prevalence] for at in thresholds))
    for at, told in zip(thresholds, found, strict=True):
        tp, fp = row_at(table, at)
        r, f = wilson(tp, table["positives"]), wilson(fp, table["negatives"])
        assert told["sensitivity"]["value"] == pytest.approx(r[0])
        assert told["specificity"]["low"] == pytest.approx(1 - f[2], abs=1e-12)
        assert told["missed"]["value"] == pytest.approx(1000 * prevalence * (1 - r[0]), abs=1e-9)
        assert told["missed"]["high"] == pytest.approx(1000 * prevalence * (1 - r[1]))
        assert told["spared"]["low"] == pytest.approx(1000 * (1 - prevalence) * (1 - f[2]), abs=1e-9)
        assert told["cleared"]["value"] == pytest.approx(told["spared"]["value"] + told["missed"]["value"])
        shares = 1000 * np.array([prevalence * r[0], (1 - prevalence) * f[0], prevalence * (1 - r[0])])
        assert told["flagged"]["value"] == pytest.approx(shares[0] + shares[1])
        assert told["f3"]["value"] == pytest.approx(10 * shares[0] / (10 * shares[0] + 9 * shares[2] + shares[1]))


@pytest.mark.parametrize("prevalence", PREVALENCES)
def test_intervals_of_what_depends_on_both_are_movers(page: WatchedPage, prevalence: float) -> None:
    table = shipped_table()
    thresholds = [row["threshold"] for row in table["rows"] if 0 < row["false_positives"] < table["negatives"]]
    found = ask(page, "consequences", *([table, at, prevalence] for at in thresholds))
    assert len(thresholds) > 20
    for at, told in zip(thresholds, found, strict=True):
        tp, fp = row_at(table, at)
        r, f = np.array(wilson(tp, table["positives"])), np.array(wilson(fp, table["negatives"]))
        hits, alarms = tuple(prevalence * r), tuple((1 - prevalence) * f)
        rest = tuple(np.array(alarms) + 9 * prevalence)
        low, high = ratio_limits(hits, rest)
        limits = [10 * low / (1 + low), 10 * high / (1 + high)]
        assert [told["f3"]["low"], told["f3"]["high"]] == pytest.approx(limits, rel=1e-6)
        low, high = ratio_limits(alarms, hits)
        limits = [1 / (1 + high), 1 / (1 + low)]
        assert [told["ppv"]["low"], told["ppv"]["high"]] == pytest.approx(limits, rel=1e-6)
        if tp < table["positives"]:
            misses, spared = tuple(prevalence * (1 - r[[0, 2, 1]])), tuple((1 - prevalence) * (1 - f[[0, 2, 1]]))
            low, high = ratio_limits(spared, misses)
            per_miss = told["sparedPerMiss"]
            assert float(per_miss["low"]) == pytest.approx(low, rel=1e-6)
            assert float(per_miss["high"]) == pytest.approx(high, rel=1e-6)


def test_f3_beats_flagging_everything_where_enough_is_spared_for_each_miss(page: WatchedPage) -> None:
    table = shipped_table()
    for prevalence in PREVALENCES:
        (everything,) = ask(page, "flagEverythingF3", [prevalence])
        (needed,) = ask(page, "sparedPerMissNeeded", [prevalence])
        assert everything == pytest.approx(10 * prevalence / (1 + 9 * prevalence))
        calls = ([table, row["threshold"], prevalence] for row in table["rows"])
        for told in ask(page, "consequences", *calls):
            if told["cleared"]["value"] == 0:
                continue
            beats = told["f3"]["value"] > everything
            assert beats == (float(told["sparedPerMiss"]["value"]) > needed)


def test_reports_own_figures_of_films_cleared_and_missed_come_out_again(page: WatchedPage) -> None:
    report = json.loads(REPORT.read_text())
    curve, prevalence = report["curves"]["decision_cost"], report["test"]["prevalence"]
    known = {row["threshold"] for row in shipped_table()["rows"]}
    printed = [
        (at, cleared, missed)
        for at, cleared, missed in zip(
            curve["threshold"], curve["cleared_per_1000"], curve["missed_per_1000"], strict=True
        )
        if at in known
    ]
    found = ask(page, "consequences", *([shipped_table(), at, prevalence] for at, _, _ in printed))
    assert len(printed) > 20
    for (at, cleared, missed), told in zip(printed, found, strict=True):
        assert (told["cleared"]["value"], told["missed"]["value"]) == pytest.approx((cleared, missed), abs=1e-6), at


def test_step_of_the_slider_has_a_round_threshold_that_decides_the_same(page: WatchedPage) -> None:
    rows = ask(page, "rowsOf", [shipped_table()])[0]
    for place, short in enumerate(ask(page, "roundThreshold", *([rows, place] for place in range(len(rows))))):
        assert short <= rows[place]["threshold"], "never above: in doubt a film is flagged"
        assert next(at for at, row in enumerate(rows) if row["threshold"] >= short) == place
        assert len(str(short)) < 9


def test_report_002s_confusion_matrix_has_the_f3_that_it_prints_and_that_of_flagging_everything(
    page: WatchedPage,
) -> None:
    films, healthy = 2936 + 7358, 7937 + 4193
    rows = [{"threshold": 0.5, "true_positives": 7358, "false_positives": 4193}]
    table = {"positives": films, "negatives": healthy, "evidence": "report 002, figure 8", "rows": rows}
    prevalence = films / (films + healthy)
    (told,) = ask(page, "consequences", [table, 0.5, prevalence])
    assert round(told["f3"]["value"], 4) == 0.7062
    assert round(ask(page, "flagEverythingF3", [prevalence])[0], 4) == 0.8946
    assert told["sparedPerMiss"]["value"] == pytest.approx(7937 / 2936)
    assert round(ask(page, "sparedPerMissNeeded", [prevalence])[0], 1) == 10.2


def test_ends_of_the_slider_have_figures_too(page: WatchedPage) -> None:
    table = shipped_table()
    everything, nothing = ask(page, "consequences", [table, 0, 0.1], [table, 1, 0.1])
    assert everything["sensitivity"] == {"value": 1, "low": 1, "high": 1}, "by construction: nothing is estimated"
    assert everything["missed"]["high"] == 0
    assert everything["f3"]["value"] == pytest.approx(1 / 1.9)
    assert everything["npv"]["value"] is None, "a share of no films"
    assert everything["sparedPerMiss"]["value"] is None
    assert nothing["missed"]["value"] == pytest.approx(100)
    assert (nothing["spared"]["value"], nothing["cleared"]["value"]) == pytest.approx((900, 1000))
    assert nothing["ppv"]["value"] is None
    assert nothing["f3"]["value"] == 0


@pytest.mark.parametrize("prevalence", PREVALENCES)
def test_threshold_costs_least_exactly_between_the_ratios_that_it_implies(page: WatchedPage, prevalence: float) -> None:
    table = shipped_table()
    rows = ask(page, "rowsOf", [table])[0]
    counts = np.array([[row["true_positives"], row["false_positives"]] for row in rows])
    missed = prevalence * (1 - counts[:, 0] / table["positives"])
    needless = (1 - prevalence) * counts[:, 1] / table["negatives"]
    for place, told in enumerate(ask(page, "impliedCosts", *([table, row["threshold"], prevalence] for row in rows))):
        low, high = float(told["low"]), float(told["high"])
        inside = min(high, 2 * low + 1) / 2 + low / 2
        costs = inside * missed + needless
        over = 1000 * (costs[place] - costs.min())
        assert over == pytest.approx(told["extra"], abs=1e-6), (place, told)
        assert (told["better"] == []) == (over < 1e-6)
        for outside in [low * 0.9, *([high * 1.1] if math.isfinite(high) else [])]:
            costs = outside * missed + needless
            assert 1000 * (costs[place] - costs.min()) >= over - 1e-6
