"""How the network learned: loss, accuracy and AUC, epoch by epoch; the head on frozen features, and the fine-tunes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

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
    dress,
    footnote,
    numbers,
)

_Dashes: TypeAlias = Literal["-", "--", ":"]

_MEMBER_COLOURS = (NETWORK, GREEN, ORANGE, PURPLE, VERMILLION)
# Beyond so many epochs single marks only thicken the line.
_MOST_MARKED = 40
_PANELS: tuple[tuple[str, tuple[tuple[str, _Dashes], ...]], ...] = (
    ("loss", (("loss", "-"), ("select_loss", "--"))),
    ("accuracy at .5", (("accuracy", "-"), ("select_accuracy", "--"))),
    ("AUC", (("select_auc", "--"), ("findings_auc", ":"))),
)
_LINES: dict[_Dashes, str] = {"-": "train films", "--": "select films", ":": "select films, mean of findings"}


def draw_history(report: Document) -> Figure | None:
    """Draw every fine-tune's loss, accuracy and AUC, where each stage begins, and the AUC of their averaged weights.

    Figures 6 and 7 of report 002, 2 to 4 of report 000.
    """
    epochs = [line for line in report["history"] if "loss" in line]
    averaged = [line["select_auc"] for line in report["history"] if "average_of" in line]
    return _draw("Training history", epochs, averaged[-1] if averaged else None, what="fine-tune")


def draw_head_history(report: Document) -> Figure | None:
    """Draw loss, accuracy and AUC of the head on frozen features: figures 4 and 5 of report 002."""
    return _draw("Head on frozen features", list(report["head_history"]), None, what="head")


def _draw(title: str, epochs: list[Document], averaged: float | None, *, what: str) -> Figure | None:
    if not epochs:
        return None
    members = list(dict.fromkeys(line.get("member", 0) for line in epochs))
    figure = canvas(title, height=6.6)
    panels = figure.subplots(len(_PANELS), 1, sharex=True)
    for axes, (name, curves) in zip(panels, _PANELS, strict=True):
        dress(axes, x="epoch" if axes is panels[-1] else "", y=name)
        for place, member in enumerate(members):
            lines = [line for line in epochs if line.get("member", 0) == member]
            for key, dashes in curves:
                _curve(axes, lines, key, _MEMBER_COLOURS[place % len(_MEMBER_COLOURS)], dashes)
    _mark_stages(panels, [line for line in epochs if line.get("member", 0) == members[0]])
    if averaged is not None:
        panels[-1].axhline(averaged, color=GRAY, linewidth=1.4)
    panels[-1].set_xlim(left=0.5)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, epochs, members, averaged, what)
    footnote(figure, f"{len(epochs)} epochs, {len(members)} {what}{'s' if len(members) > 1 else ''}")
    return figure


def _curve(axes: Axes, lines: Sequence[Document], key: str, colour: str, dashes: str) -> None:
    values = numbers([line.get(key) for line in lines])
    if not np.isfinite(values).any():
        return
    marker = "o" if len(lines) <= _MOST_MARKED else ""
    across = np.arange(1, len(lines) + 1)
    axes.plot(across, values, color=colour, linestyle=dashes, marker=marker, markersize=3, linewidth=1.3)


def _legend(
    figure: Figure, epochs: Sequence[Document], members: Sequence[int], averaged: float | None, what: str
) -> None:
    """Say what dashes mean, and colours where there are several; beside the panels, one for all of them."""
    drawn = {
        dashes for _, curves in _PANELS for key, dashes in curves if any(line.get(key) is not None for line in epochs)
    }
    entries: list[tuple[str, str, _Dashes]] = [(_LINES[dashes], INK, dashes) for dashes in _LINES if dashes in drawn]
    if len(members) > 1:
        colours = (_MEMBER_COLOURS[place % len(_MEMBER_COLOURS)] for place in range(len(members)))
        entries += [(f"{what} {member}", colour, "-") for member, colour in zip(members, colours, strict=True)]
    if averaged is not None:
        entries.append((f"weights averaged\nAUC {averaged:.3f}", GRAY, "-"))
    handles = [Line2D([], [], color=colour, linestyle=dashes, label=label) for label, colour, dashes in entries]
    figure.legend(
        handles=handles, loc="outside right upper", fontsize=SMALL, frameon=False, labelcolor=INK, handlelength=1.9
    )


def _mark_stages(panels: Sequence[Axes], lines: Sequence[Document]) -> None:
    stages = [line.get("stage") for line in lines]
    starts = [0, *(index for index in range(1, len(stages)) if stages[index] != stages[index - 1])]
    for start in starts:
        if start:
            for axes in panels:
                axes.axvline(start + 0.5, color=GRAY, linewidth=0.9)
        if stages[start] is not None:
            panels[0].annotate(
                _stage_name(lines[start]),
                (start + 0.5, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, 3),
                textcoords="offset points",
                fontsize=SMALL,
                color=GRAY,
            )


def _stage_name(line: Document) -> str:
    learns = str(line.get("learns", line["stage"])).replace("_", " ")
    return f"{learns}, {line['size']} px" if line.get("size") else learns
