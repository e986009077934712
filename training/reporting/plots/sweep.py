"""What the runs of a sweep came to: lines over one number, a map over two, or a row for each experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from training.reporting.plots.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SMALL,
    TEXT,
    VERMILLION,
    Document,
    canvas,
    dress,
    footnote,
    legend_beside,
    numbers,
)

# Beyond such a span the small values would lie on one spot.
_SPAN_OF_A_LOGARITHM = 10.0
_ROW_INCHES = 0.34
_WORDS: Final[Mapping[str, str]] = {
    "auc": "AUC of any finding",
    "findings_auc": "mean AUC of findings",
    "loss": "loss",
    "accuracy": "accuracy",
    "recall": "recall",
}
Curve = tuple[str, str, str, tuple[str, ...]]
_LOSS: Final[tuple[Curve, ...]] = (
    ("train", GRAY, "s", ("train", "loss")),
    ("select", BLUE, "o", ("select", "loss")),
)
# Not weighted by class: beside the other two only where they are not either.
_TEST_LOSS: Final[Curve] = ("test", VERMILLION, "D", ("test", "multilabel", "loss"))
_ACCURACY: Final[tuple[Curve, ...]] = (
    ("train", GRAY, "s", ("train", "accuracy")),
    ("select", BLUE, "o", ("select", "accuracy")),
)
_TWO_WAY: Final[tuple[Curve, ...]] = (
    ("test AUC", GREEN, "o", ("test", "auc", "value")),
    ("test accuracy at .5", VERMILLION, "D", ("test", "half", "accuracy", "value")),
    ("sensitivity", PURPLE, "^", ("test", "half", "sensitivity", "value")),
    ("specificity", ORANGE, "v", ("test", "half", "specificity", "value")),
)
_FINDINGS: Final[tuple[Curve, ...]] = (
    ("AUC flattened", VERMILLION, "D", ("test", "multilabel", "flattened_auc")),
    ("AUC mean", GREEN, "o", ("test", "multilabel", "macro_auc")),
    ("F1 micro", PURPLE, "^", ("test", "multilabel", "averages", "micro", "f1")),
    ("F1 macro", ORANGE, "v", ("test", "multilabel", "averages", "macro", "f1")),
)


def draw_sweep(document: Document) -> Figure | None:
    """Draw the runs that finished, in the form that what they set asks for; ``None`` where none did.

    ``document`` is ``sweep.json``. One varied number: loss, accuracy and test figures as lines over it. Two: the
    choosing figure as a map. Anything else: one row a run.
    """
    runs = [run for run in document["runs"] if run["test"]]
    if not runs:
        return None
    axes = _varied_numbers(runs)
    if axes is not None and len(axes) == 1:
        figure = _lines(document, runs, *next(iter(axes.items())))
    elif axes is not None and len(axes) == 2:
        figure = _map(document, runs, axes)
    else:
        figure = _rows(document, runs)
    footnote(figure, *_remarks(document, runs))
    return figure


def _varied_numbers(runs: Sequence[Document]) -> dict[str, list[float]] | None:
    """Return each varied key with its value in every run; ``None`` unless all runs set numbers at the same keys.

    Keys that always have the same value as another one (a rate set in two stages) count once.
    """
    keys = list(runs[0]["set"])
    found: dict[str, list[float]] = {}
    for key in keys:
        values = [run["set"].get(key) for run in runs]
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            return None
        if values not in found.values():
            found[key] = values
    if any(list(run["set"]) != keys for run in runs) or len(runs) < 2:
        return None
    return found


def _lines(document: Document, runs: Sequence[Document], key: str, values: list[float]) -> Figure:
    order = np.argsort(values)
    runs, across = [runs[place] for place in order], np.array(values, dtype=np.float64)[order]
    figure = canvas(f"{document['recipe']}: {_words(key)}", height=7.0)
    panels = figure.subplots(3, 1, sharex=True)
    answered = _FINDINGS if runs[0]["test"]["multilabel"] else _TWO_WAY
    losses = _LOSS if any(run["class_weights"] != "none" for run in runs) else (*_LOSS, _TEST_LOSS)
    titles = ("loss", "accuracy, while learning", "test films")
    for axes, title, curves in zip(panels, titles, (losses, _ACCURACY, answered), strict=True):
        dress(axes, x=_words(key) if axes is panels[-1] else "", y="", title=title)
        for label, colour, marker, path in curves:
            found = numbers([_at(run, path) for run in runs])
            if not np.isnan(found).all():
                axes.plot(across, found, color=colour, marker=marker, markersize=5, linewidth=1.3, label=label)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=SMALL, frameon=False, labelcolor=INK)
        _mark_chosen(axes, document, runs, across)
    _draw_prevalence_only(panels[-1], runs, horizontal=True)
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=SMALL, frameon=False, labelcolor=INK)
    if across[0] > 0 and across[-1] / across[0] >= _SPAN_OF_A_LOGARITHM:
        panels[-1].set_xscale("log")
    elif all(float(value).is_integer() for value in values):
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _mark_chosen(axes: Axes, document: Document, runs: Sequence[Document], across: Any) -> None:
    for run, place in zip(runs, across, strict=True):
        if run["name"] == document["chosen"]:
            axes.axvline(place, color=INK, linewidth=0.8, linestyle=":", zorder=0)


def _map(document: Document, runs: Sequence[Document], axes: Mapping[str, list[float]]) -> Figure:
    (down_key, down), (across_key, across) = axes.items()
    rows, columns = sorted(set(down)), sorted(set(across))
    grid = np.full((len(rows), len(columns)), np.nan)
    choose = document["choose"]
    figure = canvas(f"{document['recipe']}: {_WORDS[choose]} on select films", height=1.6 + 0.7 * len(rows))
    panel = figure.subplots()
    for run, row, column in zip(runs, down, across, strict=True):
        value, place = run["select"][choose], (rows.index(row), columns.index(column))
        if value is None:
            continue
        grid[place] = value
        text = panel.text(place[1], place[0], f"{value:.4f}", ha="center", va="center", fontsize=TEXT, color=INK)
        text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5})
        if run["name"] == document["chosen"]:
            corner = (place[1] - 0.5, place[0] - 0.5)
            panel.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=VERMILLION, linewidth=2.5, zorder=5))
    shown = panel.imshow(grid, cmap="Blues_r" if choose == "loss" else "Blues", aspect="auto")
    panel.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
    panel.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])
    dress(panel, x=_words(across_key), y=_words(down_key))
    panel.grid(visible=False)
    figure.colorbar(shown, ax=panel).ax.tick_params(labelsize=SMALL, colors=INK)
    return figure


def _rows(document: Document, runs: Sequence[Document]) -> Figure:
    figure = canvas(f"{document['recipe']}: {len(runs)} runs", height=1.7 + _ROW_INCHES * len(runs))
    panel = figure.subplots()
    dress(panel, x="test films", y="")
    places = np.arange(len(runs))
    for label, colour, marker, path in _FINDINGS if runs[0]["test"]["multilabel"] else _TWO_WAY:
        found = numbers([_at(run, path) for run in runs])
        panel.plot(found, places, color=colour, marker=marker, markersize=6, linestyle="none", label=label)
    _draw_prevalence_only(panel, runs, horizontal=False)
    names = [f"▸ {run['name']}" if run["name"] == document["chosen"] else run["name"] for run in runs]
    panel.set_yticks(places, names)
    panel.set(ylim=(len(runs) - 0.5, -0.5), xlim=(0, 1))
    legend_beside(figure)
    return figure


def _draw_prevalence_only(axes: Axes, runs: Sequence[Document], *, horizontal: bool) -> None:
    """Draw the flattened AUC of knowing each finding's share and nothing else."""
    if not runs[0]["test"]["multilabel"]:
        return
    value = runs[0]["test"]["multilabel"]["prevalence_only"]["flattened_auc"]
    if value is not None:
        draw = axes.axhline if horizontal else axes.axvline
        draw(value, color=VERMILLION, linestyle="--", linewidth=1.0, label="AUC flattened of\nprevalence only")


def _remarks(document: Document, runs: Sequence[Document]) -> list[str]:
    failed = [run["name"] for run in document["runs"] if run["error"]]
    remarks = [f"{runs[0]['test']['films']:,} test films", f"chosen by {document['choose']}: {document['chosen']}"]
    if not runs[0]["test"]["multilabel"]:
        remarks.append("positive: unhealthy")
    if document["split"] == "image":
        remarks.append("patients leak between parts")
    return [*remarks, f"failed: {', '.join(failed)}"] if failed else remarks


def _at(run: Document, path: tuple[str, ...]) -> float | None:
    found: Any = run
    for part in path:
        if found is None:
            return None
        found = found[part]
    return None if found is None else float(found)


def _words(key: str) -> str:
    return key.rsplit(".", 1)[-1].replace("_", " ")
