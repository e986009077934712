"""Progress for people who watch: a bar on a terminal, nothing anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")


@contextmanager
def progress_bar(*, total: int, label: str, console: Console) -> Iterator[Callable[..., None]]:
    """Show a bar of ``total`` units; the returned function marks one as done and notes what is worth saying of it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=total, note="")

        def advance(note: str = "") -> None:
            bar.update(task, advance=1, note=note)

        yield advance


def track(items: Iterable[Item], *, total: int, label: str, console: Console) -> Iterator[Item]:
    """Yield ``items`` under a bar of ``total`` units."""
    with progress_bar(total=total, label=label, console=console) as advance:
        for item in items:
            yield item
            advance()
