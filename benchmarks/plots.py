"""The page's plots, drawn from what parts wrote: SVG whose bytes follow from the figures alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

Data: TypeAlias = Mapping[str, Any]

# Okabe and Ito's colours, which people who confuse red and green can tell apart.
_OURS: Final = "#0072B2"
_THEIRS: Final = "#999999"
_GOAL: Final = "#D55E00"
_ROLES: Final = {"gateway": "#0072B2", "redis": "#D55E00", "worker": "#009E73", "decoding": "#E69F00"}
# What children share with the process that they were forked from counts in each of them.
_HELD: Final = {"decoding": "decoding (shared memory counted in each child)"}
_STYLE: Final[Any] = {"font.size": 9, "svg.hashsalt": "cxr-triage", "svg.fonttype": "none", "axes.axisbelow": True}
_WIDTH: Final = 7.5
_COMPARED_CONCURRENCY: Final = 8


@contextmanager
def _drawn(path: Path, *, height: float) -> Iterator[Axes]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
        yield axes
        # Without the date a page that did not change does not look changed.
        figure.savefig(path, format="svg", metadata={"Date": None})


def _bars(axes: Axes, labels: Sequence[str], values: Sequence[float], colours: Sequence[str]) -> None:
    """Draw a bar for each value, the first on top, with its figure behind it."""
    places = range(len(labels))
    drawn = axes.barh(places, values, color=list(colours))
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.bar_label(drawn, [f" {value:.3g}" for value in values])


def _name_colours(axes: Axes) -> None:
    """Put the legend above the plot, where no bar can lie below it."""
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(_ROLES))


def decoding(data: Data, path: Path) -> None:
    """How long each format takes to its tensor, the usual way and ours."""
    table = data["table"]
    with _drawn(path, height=0.5 + 0.36 * len(table)) as axes:
        for number, line in enumerate(table):
            axes.barh(
                number - 0.2, line["usual_ms"], height=0.38, color=_THEIRS, label="usual way" if not number else ""
            )
            axes.barh(number + 0.2, line["ours_ms"], height=0.38, color=_OURS, label="ours" if not number else "")
            longer = max(line["usual_ms"], line["ours_ms"])
            axes.text(longer * 1.08, number, f"{line['times']:.3g} x", va="center")
        axes.set_yticks(range(len(table)), [line["item"] for line in table])
        axes.invert_yaxis()
        axes.set_xscale("log")
        # From one millisecond on, so that a bar's length depends on nothing but its own figure.
        axes.set_xlim(1, 2 * max(line["usual_ms"] for line in table))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xlabel("milliseconds of one core, bytes to tensor (logarithmic)")
        _name_colours(axes)


def model_limit(data: Data, path: Path) -> None:
    """Films a second of the network alone, on all cores."""
    cores = max(line["threads"] for line in data["table"])
    table = [line for line in data["table"] if line["threads"] == cores]
    best = [max(speed["per_second"] for speed in line["speeds"]) for line in table]
    colours = [_OURS] * len(table)
    with _drawn(path, height=0.5 + 0.26 * len(table)) as axes:
        _bars(axes, [f"{line['network']}, {line['label']}" for line in table], best, colours)
        axes.set_xlabel(f"films a second on {cores} cores, best batch size")


def cost(data: Data, path: Path) -> None:
    """What a film costs in gateway, queue and spool, process by process."""
    table = data["table"]
    with _drawn(path, height=0.8 + 0.4 * len(table)) as axes:
        for number, line in enumerate(table):
            left = 0.0
            for role in ("gateway", "redis"):
                spent = max(line["by_role_ms"].get(role, 0.0), 0.0)
                axes.barh(number, spent, left=left, color=_ROLES[role], label=role if not number else "")
                left += spent
            axes.text(left, number, f" {left:.3g}", va="center")
            floor = data["floor"].get(line["film"].partition(",")[0])
            if floor is not None:
                label = "the bytes alone" if not number else ""
                axes.plot([floor["total_ms"]] * 2, [number - 0.45, number + 0.45], color="black", label=label)
        axes.set_yticks(range(len(table)), [line["film"] for line in table])
        axes.invert_yaxis()
        axes.set_xlabel("processor milliseconds a film")
        _name_colours(axes)


def depth(data: Data, path: Path) -> None:
    """What each process holds while films come and go."""
    few, *_ = data["table"]
    with _drawn(path, height=3.0) as axes:
        for role, samples in few["memory"].items():
            seconds, held = zip(*samples, strict=True)
            axes.plot(seconds, held, color=_ROLES[role], label=_HELD.get(role, role))
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"seconds of work with {few['depth']} films waiting, {few['per_second']:.0f} films a second")
        axes.set_ylabel("MiB resident")
        _name_colours(axes)


def scaling(data: Data, path: Path) -> None:
    """Films a second by number of one-thread workers."""
    counts = [line["workers"] for line in data["table"]]
    with _drawn(path, height=3.0) as axes:
        for line in data["table"]:
            axes.plot([line["workers"]] * len(line["per_second"]), line["per_second"], "o", color=_OURS, alpha=0.6)
        one = sorted(data["table"][0]["per_second"])[len(data["table"][0]["per_second"]) // 2]
        axes.plot(counts, [one * count for count in counts], "--", color=_THEIRS, label="as many times the first")
        axes.set_ylim(bottom=0)
        axes.set_xticks(counts)
        axes.set_xlabel("one-thread workers, each on a core of its own")
        axes.set_ylabel("films a second")
        _name_colours(axes)


def peers(data: Data, path: Path) -> None:
    """Films a second of every server, against what the cores could do."""
    table = [line for line in data["table"] if line["concurrency"] == _COMPARED_CONCURRENCY]
    table.sort(key=lambda line: line["per_second"], reverse=True)
    colours = [_OURS if line["server"].startswith("this service") else _THEIRS for line in table]
    with _drawn(path, height=0.8 + 0.28 * len(table)) as axes:
        _bars(axes, [line["server"] for line in table], [line["per_second"] for line in table], colours)
        axes.axvline(data["ceiling_per_second"], color=_GOAL, linestyle="--", label="ceiling in fp32")
        axes.set_xlabel(f"films a second, {_COMPARED_CONCURRENCY} at once")
        _name_colours(axes)


PLOTS: Final[Mapping[str, Callable[[Data, Path], None]]] = {
    "decoding": decoding,
    "model_limit": model_limit,
    "cost": cost,
    "depth": depth,
    "scaling": scaling,
    "peers": peers,
}
