"""A row of the reliability bar: figures against pass marks, one JSON line, whatever becomes of the test."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

ROW_PROPERTY: Final = "row"


class Row:
    """What a row measured. ``mark`` notes a figure beside what it has to be; ``note`` a figure without a mark."""

    def __init__(self, name: str, title: str) -> None:
        self.name = name
        self.title = title
        self.redis: str | None = None
        self._started = time.monotonic()
        self._figures: dict[str, Any] = {}
        self._marks: dict[str, str] = {}
        self._missed: list[str] = []

    def mark(
        self,
        figure: str,
        value: float,
        *,
        exactly: float | None = None,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Note a figure and its pass mark; the row fails at its end if any is missed."""
        marks = {"==": exactly, "<=": at_most, ">=": at_least}
        wanted = {sign: limit for sign, limit in marks.items() if limit is not None}
        assert wanted, "a figure without a pass mark is noted, not marked"
        hits = {"==": value == exactly, "<=": value <= (at_most or 0), ">=": value >= (at_least or 0)}
        self._figures[figure] = value
        self._marks[figure] = " and ".join(f"{sign} {limit:g}" for sign, limit in wanted.items())
        if not all(hits[sign] for sign in wanted):
            self._missed.append(f"{figure} is {value:g}, must be {self._marks[figure]}")

    def note(self, figure: str, value: float | str) -> None:
        """Note a figure that has no pass mark, or a word on how this row was measured here."""
        self._figures[figure] = value

    @property
    def missed(self) -> list[str]:
        """The marks that were missed so far."""
        return list(self._missed)

    def line(self, error: BaseException | None) -> str:
        """Return the row as one JSON line."""
        facts: dict[str, Any] = {
            "row": self.name,
            "title": self.title,
            "passed": error is None and bool(self._marks) and not self._missed,
            "figures": self._figures,
            "pass_marks": self._marks,
            "seconds": round(time.monotonic() - self._started, 1),
            "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
        }
        if self.redis is not None:
            facts["redis"] = self.redis
        if error is not None:
            facts["error"] = f"{type(error).__name__}: {error}"[:500]
        return json.dumps(facts)


@contextmanager
def bar_row(name: str, title: str, keep_line: Callable[[str], None]) -> Iterator[Row]:
    """Measure a row: its line is kept in any case; a missed mark, or a row without marks, fails the test."""
    row = Row(name, title)
    failure: BaseException | None = None
    try:
        yield row
    except BaseException as error:
        failure = error
        raise
    finally:
        keep_line(row.line(failure))
    assert row._marks, f"{name} marked nothing"
    assert not row.missed, f"{name}: {'; '.join(row.missed)}"


def tell_rows(report: pytest.TestReport) -> None:
    """Print the lines of a test that has ended, and add them to ``$TRIAGE_BAR_LINES`` where it is set."""
    for name, line in report.user_properties:
        if name == ROW_PROPERTY:
            print(f"\n{line}", flush=True)
            if file := os.environ.get("TRIAGE_BAR_LINES"):
                with Path(file).open("a", encoding="utf-8") as lines:
                    lines.write(f"{line}\n")
