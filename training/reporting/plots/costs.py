"""The question of report 002's figure 10: films cleared against films missed, and the threshold a cost ratio asks for.

Cleared is a film below the threshold, the missed ones included; nothing below it is thereby healthy (DESIGN §2).
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from training.reporting.plots.style import (
    HEALTHY,
    INK,
    NETWORK,
    ORANGE,
    SMALL,
    UNHEALTHY,
    Document,
    canvas,
    counts_of,
    dress,
    footnote,
    legend_beside,
    looks_of,
    numbers,
)
from training.statistics.report import HALF

_LEAST_WEIGHT = 0.5


def draw_decision_cost(report: Document) -> Figure | None:
    """Draw films cleared and films missed of each 1,000 as the threshold moves, with the operating points."""
    test, curve = report["test"], report["curves"]["decision_cost"]
    if not test["films"]:
        return None
    figure = canvas("Films cleared against films missed", height=4.8)
    axes = figure.subplots()
    dress(axes, x="threshold (probability of unhealthy)", y="films of each 1,000")
    thresholds = numbers(curve["threshold"])
    cleared, missed = numbers(curve["cleared_per_1000"]), numbers(curve["missed_per_1000"])
    axes.fill_between(thresholds, missed, cleared, color=HEALTHY, alpha=0.25, linewidth=0)
    axes.fill_between(thresholds, 0, missed, color=UNHEALTHY, alpha=0.25, linewidth=0)
    axes.plot(thresholds, cleared, color=NETWORK, linewidth=1.8, label="cleared (not flagged)")
    axes.plot(thresholds, missed, color=UNHEALTHY, linestyle="--", linewidth=1.8, label="of these unhealthy: missed")
    for name, look in looks_of(test["operating_points"]).items():
        threshold = test["operating_points"][name]["threshold"]
        axes.axvline(
            threshold, color=look.colour, linestyle=look.dashes, linewidth=1.3, label=f"{name}: {threshold:.3f}"
        )
    axes.set(xlim=(-0.02, 1.02), ylim=(0, 1000))
    legend_beside(figure)
    footnote(figure, counts_of(test))
    return figure


def draw_negatives(report: Document) -> Figure | None:
    """Draw true and false negatives as more weight is given to the unhealthy prediction (report 002, figure 10).

    A film is not flagged where P(healthy) is above the weight; at .5 that is report 002's own decision.
    """
    test, curve = report["test"], report["curves"]["decision_cost"]
    if not test["films"]:
        return None
    thresholds = numbers(curve["threshold"])
    shown = thresholds <= 1 - _LEAST_WEIGHT
    per_film = test["films"] / 1000
    missed = numbers(curve["missed_per_1000"])[shown] * per_film
    cleared = numbers(curve["cleared_per_1000"])[shown] * per_film - missed
    half = test["operating_points"][HALF]["confusion"]
    weights = np.r_[1 - thresholds[shown], _LEAST_WEIGHT]
    figure = canvas("True and false negatives over the weight")
    axes = figure.subplots()
    dress(axes, x="weight: not flagged only where P(healthy) is above", y="films")
    for counts, name, label, colour, dashes in (
        (cleared, "true_negatives", "true negatives\n(healthy, not flagged)", NETWORK, "-"),
        (missed, "false_negatives", "false negatives\n(unhealthy, missed)", UNHEALTHY, "--"),
    ):
        axes.plot(weights, np.r_[counts, half[name]], color=colour, linestyle=dashes, linewidth=1.8, label=label)
    axes.set(xlim=(_LEAST_WEIGHT - 0.01, 1.01))
    axes.set_ylim(bottom=0)
    legend_beside(figure)
    footnote(figure, counts_of(test), "positive: unhealthy; P is the calibrated probability")
    return figure


def draw_cost_ratio(report: Document) -> Figure | None:
    """Draw, for each ratio of a miss to a needless read, the cheapest threshold and what it saves."""
    test, ratios = report["test"], report["curves"]["decision_cost"]["ratios"]
    if not ratios or not test["films"]:
        return None
    figure = canvas("The threshold that a cost ratio asks for", height=5.4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    across = numbers([row["ratio"] for row in ratios])
    dress(upper, x="", y="threshold")
    bayes = numbers([row["bayes_threshold"] for row in ratios])
    upper.plot(across, bayes, color=INK, linestyle="--", linewidth=1.0, label="what calibrated scores would choose")
    thresholds = numbers([row["threshold"] for row in ratios])
    upper.plot(across, thresholds, color=NETWORK, marker="o", markersize=4, label="cheapest on calibrate patients")
    upper.set_ylim(-0.02, 1.02)
    dress(lower, x="cost of a miss, in needless reads", y="cost of 1,000 films")
    flag_all = numbers([row["cost_flag_everything_per_1000"] for row in ratios])
    lower.plot(across, flag_all, color=INK, linestyle="--", linewidth=1.0, label="flag everything")
    cost = numbers([row["cost_per_1000"] for row in ratios])
    lower.plot(across, cost, color=ORANGE, marker="s", markersize=4, label="network, on test patients")
    lower.set_ylim(bottom=0)
    lower.set_xscale("log")
    marks = [ratio for ratio in (1, 2, 5, 10, 20, 50, 100) if across.min() <= ratio <= across.max()]
    lower.set_xticks(marks, [f"{mark}" for mark in marks])
    lower.minorticks_off()
    for axes in (upper, lower):
        axes.legend(loc="best", fontsize=SMALL, frameon=False, labelcolor=INK)
    footnote(figure, counts_of(test), "cost in needless reads")
    return figure
