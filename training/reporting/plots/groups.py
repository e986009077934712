"""Where the network is better and where it is worse: each finding beside published anchors, and each subgroup."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.reporting.plots.style import (
    GRAY,
    GREEN,
    INK,
    NETWORK,
    ORANGE,
    PURPLE,
    SMALL,
    VERMILLION,
    Document,
    canvas,
    counts_of,
    dress,
    figures,
    footnote,
    legend_beside,
    numbers,
)

_ANCHOR_LOOKS = ((VERMILLION, "D"), (GREEN, "s"), (ORANGE, "^"), (PURPLE, "v"))
_ROW_INCHES = 0.27
_WORDS_SHARE = 0.18


def draw_findings(report: Document) -> Figure | None:
    """Draw the AUC of every finding beside published ones and the untrained head (report 004, figure 5)."""
    found = sorted(report["findings"], key=lambda one: -1.0 if one["auc"]["value"] is None else one["auc"]["value"])
    if not found:
        return None
    figure = canvas("AUC of every finding", height=1.6 + _ROW_INCHES * len(found))
    axes = figure.subplots()
    _dots(axes, [one["auc"] for one in found], colour=NETWORK, label="network (95 %)")
    _name_rows(axes, [f"{one['finding'].replace('_', ' ')} ({one['positives']:,})" for one in found])
    dress(axes, x="AUC", y="")
    axes.axvline(0.5, color=GRAY, linewidth=0.9)
    names = list(dict.fromkeys(anchor["name"] for one in found for anchor in one["anchors"]))
    for name, (colour, marker) in zip(names, _ANCHOR_LOOKS, strict=False):
        by_row = [{anchor["name"]: anchor["auc"] for anchor in one["anchors"]}.get(name) for one in found]
        axes.plot(
            numbers(by_row),
            np.arange(len(found)),
            color=colour,
            marker=marker,
            markersize=5.5,
            markerfacecolor="none",
            linestyle="none",
            label=name,
        )
    _beside(axes, report, [one["finding"] for one in found])
    if any(one["auc"]["value"] is None for one in found):
        # Room for the words in their place.
        left, right = axes.get_xlim()
        axes.set_xlim(left=left - _WORDS_SHARE * (right - left))
    legend_beside(figure)
    footnote(figure, counts_of(report["test"]), "in brackets films with the finding")
    return figure


def draw_subgroups(report: Document) -> Figure | None:
    """Draw AUC, and sensitivity and specificity at the default operating point, of every subgroup."""
    groups = [("all films", report["test"])]
    groups += [
        (f"{attribute.replace('_', ' ')} {name}", group)
        for attribute, members in report["subgroups"].items()
        for name, group in members.items()
    ]
    if len(groups) == 1:
        return None
    groups.reverse()
    default = report["operating_points"]["default"]
    figure = canvas("Subgroups", height=1.7 + _ROW_INCHES * len(groups))
    left, middle, right = figure.subplots(1, 3, sharey=True)
    points = [group["operating_points"][default] for _, group in groups]
    columns: tuple[tuple[Axes, str, Sequence[Document], str], ...] = (
        (left, "AUC", [group["auc"] for _, group in groups], NETWORK),
        (middle, f"sensitivity, {default}", [_exact(point["sensitivity"]) for point in points], VERMILLION),
        (right, f"specificity, {default}", [_exact(point["specificity"]) for point in points], GREEN),
    )
    for axes, title, values, colour in columns:
        _dots(axes, values, colour=colour, label=None)
        dress(axes, x="", y="", title=title)
        axes.set_xlim(0.0, 1.03)
        axes.axvline(0.5 if axes is left else float(figures(values)[0][-1]), color=GRAY, linewidth=0.9, linestyle="--")
    _name_rows(left, [f"{name} ({group['healthy']:,} + {group['unhealthy']:,})" for name, group in groups])
    footnote(figure, "in brackets healthy + unhealthy films", "AUC: 95 % bootstrap of patients; others exact 95 %")
    return figure


def _exact(proportion: Document) -> Document:
    return {"value": proportion["value"], "low": proportion["exact_low"], "high": proportion["exact_high"]}


def _dots(axes: Axes, documents: Sequence[Document], *, colour: str, label: str | None) -> None:
    values, bars = figures(documents)
    rows = np.arange(len(values))
    axes.errorbar(values, rows, xerr=bars, fmt="o", markersize=5, color=colour, elinewidth=1.3, capsize=2, label=label)
    for row in rows[np.isnan(values)]:
        # An empty row would look forgotten.
        axes.annotate(
            "too few", (0.03, row), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL, color=GRAY
        )


def _beside(axes: Axes, report: Document, names: Sequence[str]) -> None:
    """Mark what has no interval and no confirmed source: Wang's second-hand figures, and the untrained head."""
    known = {one["finding"]: one for one in (report["multilabel"] or {"findings": ()})["findings"]}
    unconfirmed = [None if known[name]["wang_2017_is_confirmed"] else known[name]["wang_2017"] for name in names]
    untrained = [report["untrained"]["findings_auc"].get(name) for name in names]
    for values, marker, colour, label in (
        (unconfirmed, "^", GRAY, "Wang, second-hand"),
        (untrained, "|", INK, "head before learning"),
    ):
        if any(value is not None for value in values):
            axes.plot(
                numbers(values),
                np.arange(len(names)),
                color=colour,
                marker=marker,
                markersize=7 if marker == "|" else 5.5,
                markerfacecolor="none",
                linestyle="none",
                label=label,
            )


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0, labelsize=SMALL, colors=INK)
