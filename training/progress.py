"""Progress for people who watch: a bar on a terminal, nothing anywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Item = TypeVar("Item")


class Advance(Protocol):
    """Marks ``by`` units as done; ``note`` is what is worth saying of them, and stays until the next one."""

    def __call__(self, note: str | None = None, by: int = 1) -> None:
        """Move the bar."""


class _Rate(ProgressColumn):
    """Units a second, as of the last half minute."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.1f} {self._unit}/s")


@contextmanager
def progress_bar(*, total: int, label: str, console: Console, unit: str | None = None) -> Iterator[Advance]:
    """Show a bar of ``total`` units, with their rate where ``unit`` names them; hand out what moves it."""
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *([_Rate(unit)] if unit else []),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=total, note="")

        def advance(note: str | None = None, by: int = 1) -> None:
            if note is not None:
                bar.update(task, note=note)
            bar.update(task, advance=by)

        yield advance


def track(
    items: Iterable[Item], *, total: int, label: str, console: Console, unit: str | None = None
) -> Iterator[Item]:
    """Yield ``items`` under a bar of ``total`` units."""
    with progress_bar(total=total, label=label, console=console, unit=unit) as advance:
        for item in items:
            yield item
            advance()
