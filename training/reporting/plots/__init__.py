"""The report's plots: one PNG each, drawn from ``report.json`` alone, so that none can show another figure than it.

A plot that the report has nothing for is left out; the page says so in its place. Knows no network and no films.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from training.reporting.plots.costs import draw_cost_ratio, draw_decision_cost, draw_negatives
from training.reporting.plots.decisions import draw_confusion, draw_f_beta, draw_finding_confusion, draw_half
from training.reporting.plots.groups import draw_findings, draw_subgroups
from training.reporting.plots.history import draw_head_history, draw_history
from training.reporting.plots.prevalence import draw_prevalence
from training.reporting.plots.probability import draw_histogram, draw_reliability
from training.reporting.plots.ranking import draw_finding_roc, draw_precision_recall, draw_roc
from training.reporting.plots.style import Document, save

PLOTS: Mapping[str, Callable[[Document], Figure | None]] = {
    "roc": draw_roc,
    "precision_recall": draw_precision_recall,
    "reliability": draw_reliability,
    "histogram": draw_histogram,
    "confusion": draw_confusion,
    "half": draw_half,
    "f_beta": draw_f_beta,
    "prevalence": draw_prevalence,
    "findings": draw_findings,
    "finding_roc": draw_finding_roc,
    "finding_confusion": draw_finding_confusion,
    "subgroups": draw_subgroups,
    "decision_cost": draw_decision_cost,
    "negatives": draw_negatives,
    "cost_ratio": draw_cost_ratio,
    "head_history": draw_head_history,
    "history": draw_history,
}


def draw_plots(report: Document, folder: Path) -> None:
    """Write ``<name>.png`` into ``folder`` for each of ``PLOTS`` that ``report`` has figures for.

    Every picture is 960 pixels wide, for a column of 600. Repeated with the same report, it writes the same bytes.
    """
    for name, draw in PLOTS.items():
        figure = draw(report)
        if figure is not None:
            save(figure, folder / f"{name}.png")


__all__ = ["PLOTS", "draw_plots"]
