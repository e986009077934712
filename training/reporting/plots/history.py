"""How the network learned: loss on train patients and AUC on select patients, epoch by epoch, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.reporting.plots.style import (
    GRAY,
    GREEN,
    NETWORK,
    ORANGE,
    PURPLE,
    SMALL,
    VERMILLION,
    Document,
    canvas,
    dress,
    footnote,
    legend_beside,
    numbers,
)

_MEMBER_LOOKS = ((NETWORK, "-"), (GREEN, "--"), (ORANGE, "-."), (PURPLE, ":"), (VERMILLION, (0, (5, 1))))


def draw_history(report: Document) -> Figure | None:
    """Draw every fine-tune's loss and AUC, where each stage begins, and the AUC of their averaged weights."""
    epochs = [line for line in report["history"] if "loss" in line]
    if not epochs:
        return None
    members = list(dict.fromkeys(line.get("member", 0) for line in epochs))
    figure = canvas("Training history", height=5.2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    dress(upper, x="", y="loss on train patients")
    dress(lower, x="epoch", y="AUC on select patients")
    for place, member in enumerate(members):
        lines = [line for line in epochs if line.get("member", 0) == member]
        colour, dashes = _MEMBER_LOOKS[place % len(_MEMBER_LOOKS)]
        across = np.arange(1, len(lines) + 1)
        for axes, name in ((upper, "loss"), (lower, "select_auc")):
            values = numbers([line[name] for line in lines])
            label = f"fine-tune {member}" if axes is upper and len(members) > 1 else None
            # Beyond so many epochs single marks only thicken the line.
            marker = "o" if len(lines) <= 40 else ""
            axes.plot(
                across, values, color=colour, linestyle=dashes, marker=marker, markersize=3, linewidth=1.3, label=label
            )
    _mark_stages((upper, lower), [line for line in epochs if line.get("member", 0) == members[0]])
    averaged = [line["select_auc"] for line in report["history"] if "average_of" in line]
    if averaged and averaged[-1] is not None:
        lower.axhline(averaged[-1], color=GRAY, linewidth=1.4, label=f"weights averaged\n{averaged[-1]:.3f}")
    lower.set_xlim(left=0.5)
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(members) > 1:
        legend_beside(figure)
    footnote(figure, f"{len(epochs)} epochs, {len(members)} fine-tune{'s' if len(members) > 1 else ''}")
    return figure


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
