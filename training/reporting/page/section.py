"""What a part of the page is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.reporting.tables import Table

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A plot by its name, and what it shows to whom it cannot be shown."""

    name: str
    alt: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page. ``trap`` is the mistake that its figures invite; ``remarks`` are figures in sentences."""

    anchor: str
    title: str
    trap: str
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    remarks: tuple[str, ...] = ()
