"""How well the score sorts films: receiver operating characteristic, and precision over recall."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.reporting.plots.style import (
    GRAY,
    GREEN,
    INK,
    NETWORK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Document,
    canvas,
    counts_of,
    dress,
    footnote,
    legend_beside,
    looks_of,
    mark_point,
    numbers,
    unit_square,
)
from training.reporting.verdicts import plain
from training.statistics.figures import show

_RIVAL_LINES = ((GREEN, "--"), (PURPLE, "-."), (GRAY, ":"))
# Seven colours, then the same dashed: as many pairs as NIH has findings.
_FINDING_LINES = tuple(
    (colour, dashes) for dashes in ("-", "--") for colour in (NETWORK, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
)


def draw_roc(report: Document) -> Figure | None:
    """Draw sensitivity over false-positive rate with its band, the baselines' curves and every operating point."""
    test, curve = report["test"], report["curves"]["roc"]
    if test["auc"]["value"] is None:
        return None
    figure = canvas("Receiver operating characteristic")
    axes = figure.subplots()
    dress(axes, x="false-positive rate (share of healthy films flagged)", y="sensitivity (share of unhealthy flagged)")
    unit_square(axes)
    rates = numbers(curve["false_positive_rate"])
    axes.plot([0, 1], [0, 1], color=GRAY, linewidth=0.8)
    axes.fill_between(rates, numbers(curve["low"]), numbers(curve["high"]), color=NETWORK, alpha=0.18, linewidth=0)
    axes.plot(rates, numbers(curve["sensitivity"]), color=NETWORK, linewidth=1.8, label=_label("network", test["auc"]))
    for (name, rival), (colour, line) in zip(report["curves"]["baselines"].items(), _RIVAL_LINES, strict=False):
        label = _label(plain(name), report["baselines"][name]["auc"])
        shares = numbers(rival["false_positive_rate"]), numbers(rival["sensitivity"])
        axes.plot(*shares, color=colour, linestyle=line, linewidth=1.3, label=label)
    _mark_points(axes, test, x="false_positive_rate", y="sensitivity")
    legend_beside(figure)
    footnote(figure, counts_of(test), "band: 95 % bootstrap of patients")
    return figure


def draw_finding_roc(report: Document) -> Figure | None:
    """Draw the ROC curve of every finding in one picture (report 001, figure 5)."""
    found = report["curves"]["findings"]
    if not found:
        return None
    areas = {one["finding"]: one["auc"] for one in report["multilabel"]["findings"]}
    figure = canvas("ROC of every finding")
    axes = figure.subplots()
    dress(axes, x="false-positive rate (films without it called)", y="sensitivity (films with it called)")
    unit_square(axes)
    axes.plot([0, 1], [0, 1], color=GRAY, linewidth=0.8)
    # Fourteen curves: by falling AUC, so that legend and curves have one order.
    for place, name in enumerate(sorted(found, key=lambda one: -areas[one])):
        colour, dashes = _FINDING_LINES[place % len(_FINDING_LINES)]
        axes.plot(
            numbers(found[name]["false_positive_rate"]),
            numbers(found[name]["sensitivity"]),
            color=colour,
            linestyle=dashes,
            linewidth=1.2,
            label=f"{name.replace('_', ' ')} {areas[name]:.3f}",
        )
    legend_beside(figure)
    missing = ", ".join(name.replace("_", " ") for name in areas if name not in found)
    footnote(figure, counts_of(report["test"]), f"no curve: {missing}" if missing else "")
    return figure


def draw_precision_recall(report: Document) -> Figure | None:
    """Draw precision over recall, beside what flagging at random or everything reaches."""
    test, curve = report["test"], report["curves"]["precision_recall"]
    if test["average_precision"]["value"] is None:
        return None
    figure = canvas("Precision and recall")
    axes = figure.subplots()
    dress(axes, x="recall = sensitivity (share of unhealthy flagged)", y="precision (share unhealthy of flagged)")
    unit_square(axes)
    recall = numbers(curve["recall"])
    axes.axhline(
        test["prevalence"], color=INK, linestyle="--", linewidth=1.0, label=f"flag all: {test['prevalence']:.3f}"
    )
    label = _label("average precision", test["average_precision"])
    axes.plot(recall, numbers(curve["precision"]), color=NETWORK, linewidth=1.8, label=label)
    _mark_points(axes, test, x="sensitivity", y="ppv")
    legend_beside(figure)
    footnote(figure, counts_of(test), "in brackets 95 % bootstrap of patients")
    return figure


def _label(name: str, figure: Document) -> str:
    # Two lines: beside the axes there is room for some twenty characters.
    return f"{name}\n{show(figure)}"


def _mark_points(axes: Axes, test: Document, *, x: str, y: str) -> None:
    for name, look in looks_of(test["operating_points"]).items():
        point = test["operating_points"][name]
        mark_point(axes, name, look, x=_share(point, x), y=_share(point, y))


def _share(point: Document, name: str) -> float:
    if name != "false_positive_rate":
        return float(numbers([point[name]["value"]])[0])
    return 1.0 - float(numbers([point["specificity"]["value"]])[0])
