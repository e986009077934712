"""What every row has: the usual installation, its line, and company or none."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.support.bar import ROW_PROPERTY, Row, bar_row
from tests.support.bundles import write_tiny_bundle
from tests.support.parts import Parts
from tests.support.redis_server import RedisServer

MeasureRow = Callable[[str, str], AbstractContextManager[Row]]


@pytest.fixture(autouse=True)
def company(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[None]:
    """Let rows run beside each other, as far as pytest-xdist does so, and those marked ``alone`` beside none."""
    run = tmp_path_factory.getbasetemp()
    with ((run if worker_id == "master" else run.parent) / "rows.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
        yield


@pytest.fixture
def parts(mortal_redis_server: RedisServer, tmp_path: Path) -> Parts:
    """An installation in the test's own directory, with the tiny bundle; nothing but Redis runs."""
    return Parts(directory=tmp_path, server=mortal_redis_server, bundle=write_tiny_bundle(tmp_path / "tiny"))


@pytest.fixture
def measure_row(request: pytest.FixtureRequest) -> MeasureRow:
    """``with measure_row("R9", "Redis out of memory") as row: row.mark("lost", lost, exactly=0)``."""

    def keep(line: str) -> None:
        request.node.user_properties.append((ROW_PROPERTY, line))

    return partial(bar_row, keep_line=keep)
