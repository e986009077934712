"""What ``cxr-triage submit`` prints: progress meanwhile; a table, or one JSON object a line; then a summary."""

from __future__ import annotations

import json
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.submit.client import Delivery, Submitted

_WIDTH_OF_A_FILE = 160  # a table that is piped has no terminal to take its width from


class Report:
    """Gathers the ends of files. A context manager: the progress bar lives inside it.

    Progress and summary go to stderr, and the bar only to a terminal; table and JSON go to stdout.
    """

    def __init__(self, *, total: int, is_json: bool) -> None:
        self._is_json = is_json
        self._ends: list[Submitted] = []
        self._stdout = Console(width=None if Console().is_terminal else _WIDTH_OF_A_FILE, highlight=False)
        self._stderr = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("films"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._stderr,
            disable=not self._stderr.is_terminal,
        )
        self._bar = self._progress.add_task("films", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def add(self, end: Submitted) -> None:
        """Take one file's end; with JSON, print it at once."""
        self._ends.append(end)
        self._progress.advance(self._bar)
        if self._is_json:
            print(json.dumps(_line(end)), flush=True)

    def close(self) -> None:
        """Print the table and the summary."""
        if not self._is_json:
            self._stdout.print(_table(self._ends))
        counted = Counter(_summary_key(end) for end in self._ends)
        parts = [f"{count} {key}" for key, count in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]
        self._stderr.print(f"{len(self._ends)} files: {', '.join(parts) or 'none'}", soft_wrap=True)

    def has(self, delivery: Delivery) -> bool:
        """Return whether any file ended so."""
        return any(end.delivery is delivery for end in self._ends)


def _line(end: Submitted) -> dict[str, object]:
    record = None if end.record is None else end.record.model_dump(mode="json")
    return {
        "path": str(end.path),
        "delivery": end.delivery,
        "code": end.code,
        "detail": end.detail,
        "record": record,
    }


def _table(ends: list[Submitted]) -> Table:
    table = Table("file", "id", "outcome", "reason", "probability", box=None, pad_edge=False)
    for end in ends:
        record = end.record
        if end.delivery is not Delivery.DONE or record is None:
            table.add_row(end.path.name, record.id if record else "", end.delivery, end.code, "")
            continue
        probability = "" if record.probability is None else f"{record.probability:.4f}"
        table.add_row(end.path.name, record.id, record.outcome, record.reason, probability)
    return table


def _summary_key(end: Submitted) -> str:
    if end.delivery is Delivery.DONE and end.record is not None and end.record.outcome is not None:
        reason = end.record.reason
        return end.record.outcome if reason is None else f"{end.record.outcome}({reason})"
    return f"{end.delivery}({end.code})"
