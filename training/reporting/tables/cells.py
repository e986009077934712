"""What a table of the report is, and how its cells say numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A caption, a head, and rows as long as the head; the first cell of a row names it."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def films_of(group: Document) -> str:
    """Return how many films, patients and unhealthy films a group of the report holds."""
    return f"{group['films']:,} films of {group['patients']:,} patients, {group['unhealthy']:,} unhealthy"


def exact(proportion: Document) -> str:
    """Return a proportion as its counts, with exact bounds where there are any."""
    counted = f"{proportion['count']:,}/{proportion['of']:,}"
    if proportion["exact_low"] is None:
        return counted
    return f"{counted} ({proportion['exact_low']:.3f} to {proportion['exact_high']:.3f})"


def number(value: float | None, form: str) -> str:
    """Return a number in the given format, a dash for none."""
    return NONE if value is None else format(value, form)


def share(value: float | None) -> str:
    """Return a share in per cent, a dash for none."""
    return NONE if value is None else f"{value:.1%}"
