"""What the probability is worth: reliability, and how the two classes' scores lie to the thresholds."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.reporting.plots.style import (
    GRAY,
    HEALTHY,
    INK,
    NETWORK,
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
from training.statistics.figures import show


def draw_reliability(report: Document) -> Figure | None:
    """Draw observed share over predicted probability, bins of equally many films, above the histogram of scores."""
    calibration, test = report["calibration"], report["test"]
    bins = [one for one in calibration["bins"] if one["films"]]
    if not bins:
        return None
    figure = canvas("Reliability of the probability", height=5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    # What can be checked is the probability before a site's shift; what is served is the one after it.
    shift = calibration["prior_shift"]
    dress(upper, x="probability before the site's shift" if shift else "", y="share found unhealthy")
    upper.plot([0, 1], [0, 1], color=GRAY, linewidth=0.8, label="perfect calibration")
    observed = numbers([one["observed"] for one in bins])
    bounds = np.stack([numbers([one[name] for one in bins]) for name in ("exact_low", "exact_high")])
    upper.errorbar(
        numbers([one["mean_probability"] for one in bins]),
        observed,
        yerr=np.nan_to_num(np.abs(bounds - observed)),
        color=NETWORK,
        marker="o",
        markersize=5,
        linewidth=1.2,
        capsize=2.5,
        label=f"network, error {show(calibration['expected_calibration_error'])}",
    )
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    upper.legend(loc="upper left", fontsize=SMALL, frameon=False, labelcolor=INK)
    served = (
        f"served probability, shifted by {shift:+.2f} in log-odds" if shift else "predicted probability of unhealthy"
    )
    dress(lower, x=served, y="films")
    _bars(lower, report, ("healthy", "unhealthy"), NETWORK)
    films = sorted({one["films"] for one in bins})
    each = f"{films[0]:,}" if len(films) == 1 else f"{films[0]:,} to {films[-1]:,}"
    footnote(figure, counts_of(test), f"{each} a bin; bars exact 95 %")
    return figure


def draw_histogram(report: Document) -> Figure | None:
    """Draw how many films of each class have which score, with the threshold of every operating point."""
    test = report["test"]
    if not test["films"]:
        return None
    figure = canvas("Scores by class, and the thresholds", height=4.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    dress(upper, x="", y="films", title=f"recorded healthy ({test['healthy']:,})")
    dress(lower, x="predicted probability of unhealthy", y="films", title=f"unhealthy ({test['unhealthy']:,})")
    _bars(upper, report, ("healthy",), HEALTHY)
    _bars(lower, report, ("unhealthy",), UNHEALTHY)
    for name, look in looks_of(test["operating_points"]).items():
        threshold = test["operating_points"][name]["threshold"]
        for axes, label in ((upper, f"{name}: {threshold:.3f}"), (lower, None)):
            axes.axvline(threshold, color=look.colour, linestyle=look.dashes, linewidth=1.5, label=label)
    upper.set_xlim(-0.02, 1.02)
    legend_beside(figure)
    footnote(figure, counts_of(test), "a film at or above a threshold is flagged")
    return figure


def _bars(axes: Axes, report: Document, classes: tuple[str, ...], colour: str) -> None:
    histogram = report["curves"]["histogram"]
    total = np.sum([numbers(histogram[name]) for name in classes], axis=0)
    edges = numbers(histogram["edges"])
    axes.bar(edges[:-1], total, width=np.diff(edges), align="edge", color=colour, edgecolor="white", linewidth=0.5)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    axes.set_ylim(bottom=0)
