"""The usual installation of a row, and the rows' printer: one JSON line each on the terminal, and all of them in
``$TRIAGE_BAR_LINES`` where it is set."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.support.bar import Row, bar_row
from tests.support.bundles import write_tiny_bundle
from tests.support.parts import Parts
from tests.support.redis_server import RedisServer

MeasureRow = Callable[[str, str], AbstractContextManager[Row]]


@pytest.fixture
def parts(mortal_redis_server: RedisServer, tmp_path: Path) -> Parts:
    """An installation in the test's own directory, with the tiny bundle; nothing but Redis runs."""
    return Parts(directory=tmp_path, server=mortal_redis_server, bundle=write_tiny_bundle(tmp_path / "tiny"))


@pytest.fixture
def measure_row(capsys: pytest.CaptureFixture[str]) -> MeasureRow:
    """``with measure_row("R9", "Redis out of memory") as row: row.mark("lost", lost, exactly=0)``."""

    def print_line(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", flush=True)
        if file := os.environ.get("TRIAGE_BAR_LINES"):
            with Path(file).open("a", encoding="utf-8") as lines:
                lines.write(line + "\n")

    return partial(bar_row, print_line=print_line)
