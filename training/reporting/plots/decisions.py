"""What each threshold does to films: confusion matrices, and F-beta beside the F-beta of flagging everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.reporting.plots.style import (
    FAINT,
    GRAY,
    INK,
    NETWORK,
    SMALL,
    TEXT,
    Document,
    Numbers,
    canvas,
    counts_of,
    dress,
    footnote,
    legend_beside,
    looks_of,
    mark_point,
    numbers,
)
from training.statistics.report import HALF

_MATRICES_A_ROW = 3
_FINDINGS_A_ROW = 4
_CELLS = (("true_negatives", "false_positives"), ("false_negatives", "true_positives"))


def draw_confusion(report: Document) -> Figure | None:
    """Draw the four counts at every operating point, shaded by their share of the class."""
    test = report["test"]
    if not test["films"]:
        return None
    points = list(test["operating_points"].items())
    rows = -(-len(points) // _MATRICES_A_ROW)
    figure = canvas("Confusion matrix at every operating point", height=0.9 + 1.75 * rows)
    grid = figure.subplots(rows, _MATRICES_A_ROW, squeeze=False)
    for axes, (name, point) in zip(grid.flat, points, strict=False):
        _matrix(axes, f"{name}  ≥ {point['threshold']:.3f}", point)
    for axes in grid.flat[len(points) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_yticks([0, 1], ["healthy", "unhealthy"])
    footnote(figure, counts_of(test), "positive: unhealthy; shade and %: share of the row")
    return figure


def draw_half(report: Document) -> Figure | None:
    """Draw the four counts of the network at half beside those of always unhealthy (report 002, figures 8 and 9)."""
    test = report["test"]
    if not test["films"]:
        return None
    half = test["operating_points"][HALF]
    everything = {
        "confusion": {
            "true_negatives": 0,
            "false_positives": test["healthy"],
            "false_negatives": 0,
            "true_positives": test["unhealthy"],
        },
    }
    figure = canvas("The network at half, and always unhealthy", height=2.9)
    left, right = figure.subplots(1, 2)
    accuracy = (half["confusion"]["true_negatives"] + half["confusion"]["true_positives"]) / test["films"]
    for axes, title, point, scores in (
        (left, "network, probability ≥ 0.5", half, (half["f3"]["value"], accuracy)),
        (right, "always unhealthy", everything, (half["f3_flag_everything"], test["prevalence"])),
    ):
        _matrix(axes, title, point)
        f3, accurate = (f"{value:.4f}" if value is not None else "undefined" for value in scores)
        axes.set_xlabel(f"F3 {f3}, accuracy {accurate}", fontsize=TEXT, color=INK)
    left.set_yticks([0, 1], ["healthy", "unhealthy"])
    footnote(figure, counts_of(test), "positive: unhealthy; shade and %: share of the row")
    return figure


def draw_finding_confusion(report: Document) -> Figure | None:
    """Draw the four counts of every finding at the findings' threshold (report 000, figures 5 and 6)."""
    section = report["multilabel"]
    if section is None:
        return None
    found = section["findings"]
    rows = -(-len(found) // _FINDINGS_A_ROW)
    threshold = f"{section['threshold']:g}"
    figure = canvas(f"Confusion matrix of every finding, called at {threshold} or above", height=0.9 + 1.45 * rows)
    grid = figure.subplots(rows, _FINDINGS_A_ROW, squeeze=False)
    for axes, one in zip(grid.flat, found, strict=False):
        _matrix(axes, one["finding"].replace("_", " "), {"confusion": one})
        axes.set_xticks([0, 1], ["not called", "called"])
    for axes in grid.flat[len(found) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_yticks([0, 1], ["absent", "present"])
    footnote(figure, counts_of(report["test"]), "positive: present; %: share of the row")
    return figure


def draw_f_beta(report: Document) -> Figure | None:
    """Draw F3 and skill over the threshold, and the F-beta of each beta, each beside flagging everything."""
    test, curve = report["test"], report["curves"]["f3"]
    everything = curve["flag_everything"]
    if everything is None:
        return None
    figure = canvas("F3 over the threshold, and other betas", height=6.2)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 2))
    dress(upper, x="threshold (probability of unhealthy)", y="F3")
    upper.axhline(everything, color=INK, linestyle="--", linewidth=1.0, label=f"flag everything\n{everything:.4f}")
    thresholds = numbers(curve["threshold"])
    upper.fill_between(thresholds, numbers(curve["low"]), numbers(curve["high"]), color=NETWORK, alpha=0.18, lw=0)
    upper.plot(thresholds, numbers(curve["f3"]), color=NETWORK, linewidth=1.8, label="network")
    reached = [everything, *_mark_points(upper, test)]
    # Far to the right F3 falls to 0; shown down to there, the part that decides would be a hair's breadth.
    upper.set(xlim=(-0.02, 1.02), ylim=(max(0.0, float(np.nanmin(reached)) - 0.15), 1.01))
    _skill_axis(upper, everything)
    _betas(lower, report["curves"]["f_beta"])
    legend_beside(figure)
    footnote(figure, counts_of(test), "band: 95 % bootstrap of patients")
    return figure


def _mark_points(axes: Axes, test: Document) -> list[float]:
    heights = []
    for name, look in looks_of(test["operating_points"]).items():
        point = test["operating_points"][name]
        heights.append(float(numbers([point["f3"]["value"]])[0]))
        mark_point(axes, name, look, x=point["threshold"], y=heights[-1])
    return heights


def _matrix(axes: Axes, title: str, point: Document) -> None:
    counts = np.array([[point["confusion"][cell] for cell in row] for row in _CELLS], dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.55 else INK
        share = f"{shares[row, column]:.0%}" if totals[row, 0] else "–"
        text = f"{int(count):,}\n{share}"
        axes.text(column, row, text, ha="center", va="center", fontsize=TEXT, color=colour)
    axes.set_title(title, fontsize=TEXT, color=INK, loc="left")
    axes.set_xticks([0, 1], ["not flagged", "flagged"])
    axes.set_yticks([0, 1], ["", ""])
    axes.tick_params(labelsize=SMALL, colors=INK, length=0)
    axes.spines[:].set_color(FAINT)


def _skill_axis(axes: Axes, everything: float) -> None:
    if everything >= 1.0:
        return

    def to_skill(f3: Numbers) -> Numbers:
        return (f3 - everything) / (1 - everything)

    def to_f3(skill: Numbers) -> Numbers:
        return skill * (1 - everything) + everything

    # matplotlib's annotation wants functions of anything that numpy takes.
    skill = axes.secondary_yaxis("right", functions=(to_skill, to_f3))  # type: ignore[arg-type]
    skill.set_ylabel("skill (0 = flag everything)", fontsize=TEXT, color=INK)
    skill.tick_params(labelsize=SMALL, colors=INK)
    skill.spines["right"].set_color(GRAY)


def _betas(axes: Axes, rows: Sequence[Document]) -> None:
    title = "dot: network at the threshold that is best on calibrate patients; dash: flag everything"
    dress(axes, x="beta (recall counts β² times as much as precision)", y="F-beta", title=title)
    places = np.arange(len(rows))
    axes.plot(places, numbers([row["flag_everything"] for row in rows]), color=INK, marker="_", markersize=16, lw=0)
    axes.plot(places, numbers([row["value"] for row in rows]), color=NETWORK, marker="o", linestyle="none")
    for place, row in zip(places, rows, strict=True):
        if row["value"] is not None and row["skill"] is not None:
            axes.annotate(
                f"skill {row['skill']:+.2f}",
                (place, row["value"]),
                xytext=(0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=SMALL,
                color=GRAY,
            )
    axes.margins(y=0.2)
    axes.set_xticks(places, [f"{row['beta']:g}" for row in rows])
    axes.set_xlim(-0.5, len(rows) - 0.5)
