"""One house style for every plot: size, palette, footnote, and how an operating point looks wherever it is drawn.

Knows matplotlib's object-oriented interface only: no pyplot, no ``rcParams``, so that drawing changes nothing outside
the figure that it returns. Sizes are chosen for a picture shown 600 pixels wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Okabe and Ito's palette: told apart with every common colour blindness (jfly.uni-koeln.de/color, 2008).
BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILLION, PURPLE = "#D55E00", "#CC79A7"
INK, GRAY, FAINT = "#1b1f24", "#5b6470", "#d5dae0"
HEALTHY, UNHEALTHY, NETWORK = SKY, VERMILLION, BLUE

TEXT, SMALL = 9.5, 8.5
_TITLE = 12
_WIDTH_INCHES = 6.4
_DOTS_PER_INCH = 150
_LOOKS: tuple[tuple[str, str, Any], ...] = (
    (VERMILLION, "o", "-"),
    (GREEN, "s", "--"),
    (PURPLE, "D", "-."),
    (ORANGE, "^", ":"),
    (INK, "P", (0, (5, 1))),
    (SKY, "v", (0, (1, 1))),
    (GRAY, "X", (0, (3, 1, 1, 1))),
    (BLUE, "*", (0, (8, 2))),
    (VERMILLION, "<", (0, (5, 1, 1, 1))),
    (GREEN, ">", (0, (2, 2))),
    (PURPLE, "p", (0, (4, 4))),
    (ORANGE, "h", (0, (1, 3))),
)

Document = Mapping[str, Any]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Look:
    """Colour, marker and dashes of one operating point: shape tells it where colour does not."""

    colour: str
    marker: str
    dashes: Any


def canvas(title: str, *, height: float = 4.4) -> Figure:
    """Return an empty white figure, 960 pixels wide and ``height`` inches high, with its title."""
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DOTS_PER_INCH, layout="constrained", facecolor="white")
    figure.suptitle(title, x=0.012, horizontalalignment="left", fontsize=_TITLE, fontweight="bold", color=INK)
    return figure


def dress(axes: Axes, *, x: str, y: str, title: str = "") -> None:
    """Give ``axes`` labels with their units, a faint grid, and no frame above or to the right."""
    axes.set_xlabel(x, fontsize=TEXT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT, color=INK)
    if title:
        axes.set_title(title, fontsize=TEXT, color=INK, loc="left")
    axes.tick_params(labelsize=SMALL, colors=INK)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRAY)


def unit_square(axes: Axes) -> None:
    """Show shares 0 to 1 on both axes, one as long as the other."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def legend_beside(figure: Figure) -> None:
    """Put the legend of everything labelled to the right of the axes, where it hides no curve."""
    figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False, labelcolor=INK, handlelength=1.6)


def footnote(figure: Figure, *parts: str) -> None:
    """Say below the axes how many films the plot shows and what its bands are."""
    text = " · ".join(part for part in parts if part)
    figure.supxlabel(text, x=0.012, horizontalalignment="left", fontsize=SMALL, color=GRAY)


def counts_of(group: Document) -> str:
    """Return how many films, patients and unhealthy films a group of the report holds."""
    return f"{group['films']:,} films of {group['patients']:,} patients, {group['unhealthy']:,} unhealthy"


def looks_of(names: Iterable[str]) -> dict[str, Look]:
    """Return how each operating point is drawn; the same names in the same order look the same in every plot."""
    looks = (Look(colour=colour, marker=marker, dashes=dashes) for colour, marker, dashes in cycle(_LOOKS))
    return dict(zip(names, looks, strict=False))


def mark_point(axes: Axes, name: str, look: Look, *, x: float, y: float) -> None:
    """Mark an operating point; one that has no figures here keeps its place in the legend and says so."""
    axes.plot(
        [x],
        [y],
        color=look.colour,
        marker=look.marker,
        markersize=7,
        markeredgecolor=INK,
        markeredgewidth=0.6,
        linestyle="none",
        label=name if np.isfinite(x + y) else f"{name}: too few",
    )


def numbers(values: Sequence[float | None]) -> Numbers:
    """Return numbers of the report as ``(n,)`` float64; what is undefined there is NaN, which is not drawn."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def figures(documents: Sequence[Document]) -> tuple[Numbers, Numbers]:
    """Return values ``(n,)`` and their error bars ``(2, n)``, lower then upper; a missing bound has no length."""
    values = numbers([document["value"] for document in documents])
    low = numbers([document["low"] for document in documents])
    high = numbers([document["high"] for document in documents])
    # A bootstrap interval can leave its own value out; a bar of negative length would be an error.
    return values, np.nan_to_num(np.maximum(np.stack([values - low, high - values]), 0.0))


def save(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG; equal figures give equal bytes.

    The canvas draws once, where ``savefig`` would draw twice for the sake of the layout and write the same bytes.
    """
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})  # type: ignore[no-untyped-call]  # its stub
