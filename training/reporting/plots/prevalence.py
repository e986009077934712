"""What the network would be worth at a site with another share of unhealthy films: F3 and skill, reweighted."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.recipe import F3_POINT
from training.reporting.plots.style import (
    INK,
    NETWORK,
    Document,
    Look,
    Numbers,
    canvas,
    counts_of,
    dress,
    figures,
    footnote,
    legend_beside,
    looks_of,
    numbers,
)
from training.reporting.verdicts import OWN_OPTIMUM

_OWN_LOOK = Look(colour=NETWORK, marker="h", dashes="-")
_DODGE_SHARE = 0.006
_UNDEFINED: Document = {"value": None, "low": None, "high": None}


def draw_prevalence(report: Document) -> Figure | None:
    """Draw F3 and skill over prevalence, beside flagging everything.

    Three thresholds: the bundle's F3 optimum and its default, and the F3 optimum of each prevalence itself.
    """
    rows = sorted(report["prevalences"], key=lambda row: float(row["prevalence"]))
    if all(point["f3"]["value"] is None for row in rows for point in row["operating_points"].values()):
        return None
    figure = canvas("F3 and skill at other prevalences", height=6.0)
    upper, lower = figure.subplots(2, 1, sharex=True)
    shares = numbers([row["prevalence"] for row in rows])
    dress(upper, x="", y="F3")
    everything = numbers([row["f3_flag_everything"] for row in rows])
    upper.plot(shares * 100, everything, color=INK, linestyle="--", linewidth=1.4, label="flag everything")
    dress(lower, x="prevalence of unhealthy films (%)", y="skill (0 = flag everything)")
    lower.axhline(0.0, color=INK, linestyle="--", linewidth=1.4)
    looks = looks_of(report["test"]["operating_points"]) | {OWN_OPTIMUM: _OWN_LOOK}
    shown = dict.fromkeys([OWN_OPTIMUM, report["operating_points"]["default"], F3_POINT])
    for place, name in enumerate(shown):
        look, aside = looks[name], (place - 1) * _DODGE_SHARE
        label = "F3 optimum of\neach prevalence" if name == OWN_OPTIMUM else name
        for axes, figure_name in ((upper, "f3"), (lower, "f3_skill")):
            found = [row["operating_points"].get(name, {}).get(figure_name, _UNDEFINED) for row in rows]
            _line(axes, (shares + aside) * 100, found, look, label if axes is upper else None)
    # Far below flagging everything it does not matter how far; intervals there would flatten all that does.
    lower.set_ylim(bottom=max(lower.get_ylim()[0], -1.0), top=min(lower.get_ylim()[1], 1.0))
    legend_beside(figure)
    footnote(figure, counts_of(report["test"]), "reweighted; bars: 95 % bootstrap of patients")
    return figure


def _line(axes: Axes, places: Numbers, found: list[Document], look: Look, label: str | None) -> None:
    values, bars = figures(found)
    axes.errorbar(
        places,
        values,
        yerr=bars,
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes,
        markersize=4.5,
        linewidth=1.1,
        elinewidth=0.8,
        label=label,
    )
