"""The common form of every part's result: rows against goals, and the data behind them, as JSON below runs/bench.

A part is ``python -m benchmarks.<part> [--quick]``; ``report`` reads what they wrote. Knows no part.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.family import Moment
from benchmarks.machine import MachineFacts, package_versions

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "runs" / "bench"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One published figure.

    Attributes
    ----------
    row
        Its name, one line.
    goal, measured
        In ``unit``; a speed-up has the unit ``x``. ``goal`` is ``None`` for a figure that is only told, ``measured``
        where this machine could not measure it, and ``note`` says why.
    ratio
        How far the goal is reached, whichever direction is better: 1 is just met.
    met
        ``None`` where there is no goal or nothing was measured.
    """

    row: str
    goal: float | None
    measured: float | None
    ratio: float | None
    unit: str
    met: bool | None
    note: str = ""

    @classmethod
    def at_least(cls, row: str, *, goal: float, measured: float, unit: str, note: str = "") -> Row:
        """Return a figure that should be ``goal`` or more."""
        ratio = measured / goal
        return cls(row=row, goal=goal, measured=measured, ratio=ratio, unit=unit, met=measured >= goal, note=note)

    @classmethod
    def at_most(cls, row: str, *, goal: float, measured: float, unit: str, note: str = "") -> Row:
        """Return a figure that should be ``goal`` or less."""
        ratio = goal / measured if measured > 0 else None
        return cls(row=row, goal=goal, measured=measured, ratio=ratio, unit=unit, met=measured <= goal, note=note)

    @classmethod
    def told(cls, row: str, *, measured: float, unit: str, note: str = "") -> Row:
        """Return a figure without a goal."""
        return cls(row=row, goal=None, measured=measured, ratio=None, unit=unit, met=None, note=note)

    @classmethod
    def unmeasured(cls, row: str, *, goal: float | None, unit: str, note: str) -> Row:
        """Return a figure that this machine cannot measure; ``note`` says why."""
        return cls(row=row, goal=goal, measured=None, ratio=None, unit=unit, met=None, note=note)


@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """What a part is told. ``is_quick``: minutes instead of tens of them; its figures are to be believed less.

    ``began`` is when: what others did since then stands in the part's result.
    """

    is_quick: bool
    directory: Path
    began: Moment = field(default_factory=Moment.now)


def part_options(description: str | None) -> PartOptions:
    """Read a part's command line; what it writes goes below ``directory``, which exists."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small share of the calls; rougher figures")
    parser.add_argument("--directory", type=Path, default=RESULTS, help="where results and what parts keep go")
    told = parser.parse_args()
    told.directory.mkdir(parents=True, exist_ok=True)
    return PartOptions(is_quick=told.quick, directory=told.directory.resolve())


def write_part(
    name: str,
    rows: Sequence[Row],
    data: Mapping[str, Any],
    *,
    started: MachineFacts,
    options: PartOptions,
    packages: Mapping[str, str] | None = None,
) -> None:
    """Print a part's rows and write ``<name>.json``, whole or not at all.

    ``started`` is the machine before the part began. ``packages`` adds versions that are installed elsewhere, in an
    environment of their own.
    """
    other_cores = Moment.now().other_cores_since(options.began)
    document = {
        "part": name,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "is_quick": options.is_quick,
        "commit": commit(),
        "machine": asdict(started) | {"other_cores": round(other_cores, 2)},
        "versions": package_versions() | dict(packages or {}),
        "rows": [asdict(row) for row in rows],
        "data": dict(data),
    }
    staging = options.directory / f".{name}.json.partial"
    staging.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    staging.replace(options.directory / f"{name}.json")
    show(name, rows)


def read_part(directory: Path, name: str) -> dict[str, Any] | None:
    """Return what a part wrote, ``None`` where it did not run."""
    try:
        document: dict[str, Any] = json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return document


def show(name: str, rows: Sequence[Row]) -> None:
    """Print rows against their goals."""
    table = Table("row", "measured", "goal", "", "note", title=name, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.row, shown(row.measured, row.unit), shown(row.goal, row.unit), verdict(row), row.note)
    console = Console()
    Console(width=None if console.is_terminal else 160, highlight=False, markup=False).print(table)


def verdict(row: Row) -> str:
    """Return in a word whether the goal was met."""
    if row.measured is None:
        return "not measured"
    return "" if row.met is None else "met" if row.met else "missed"


def shown(value: float | None, unit: str) -> str:
    """Return a figure as people read it: three digits that mean something, and its unit."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f} {unit}".strip()


def commit() -> str:
    """Return the commit that was measured; ``+`` behind it where the tree had changes."""
    described = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
