"""Films that do not decode: the table of them, and what is left to count of each part.

Written by the steps ``pixels`` and ``features``; read by whoever reports how many films a figure rests on.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Final

from rich.console import Console

from training.datasets.labels import Table
from training.datasets.sample import Part, Sample

_PRINTED: Final = 3


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A film (its ``id`` as ``image``), the part that it was dealt out to, and why it does not decode."""

    image: str
    part: Part
    reason: str


def write_unreadable(path: Path, films: Iterable[Unreadable]) -> None:
    """Write the table of films, in the order given; a header alone where there are none."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Unreadable))
        writer.writerows(astuple(film) for film in films)


def read_unreadable(path: Path) -> list[Unreadable]:
    """Read what ``write_unreadable`` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [Unreadable(row["image"], Part(row["part"]), row["reason"]) for row in csv.DictReader(file)]


def print_unreadable(films: Sequence[Unreadable], what: str, path: Path, console: Console) -> None:
    """Print how many films there are, ``what`` is true of them, where they are listed, and the first few."""
    named, more = ", ".join(film.image for film in films[:_PRINTED]), len(films) - _PRINTED
    rest = f" and {more} more" if more > 0 else ""
    console.print(f"NOTE: {len(films)} films {what} ({path}): {named}{rest}", markup=False)


def counts_by_part(table: Table) -> dict[str, dict[str, int]]:
    """Return films, patients, unhealthy and disputed ones, and films by view, of each part."""
    return {part.value: _counts([sample for sample, its_part in table if its_part is part]) for part in Part}


def _counts(samples: list[Sample]) -> dict[str, int]:
    views = Counter(sample.view or "unknown" for sample in samples)
    return {
        "films": len(samples),
        "patients": len({sample.patient for sample in samples}),
        "unhealthy": sum(sample.is_unhealthy for sample in samples),
        "disputed": sum(sample.is_disputed for sample in samples),
        **{f"view_{view}": count for view, count in sorted(views.items())},
    }
