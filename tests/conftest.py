"""Fixtures that need a running part of the system. Real ones: a Redis of its own, a spool on disk."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

from services.jobs.connection import connect_gateway
from services.jobs.queue import JobQueue
from services.jobs.spool import Spool
from services.jobs.worklist import Worklist
from tests.support.bar import tell_rows
from tests.support.redis_server import RedisServer, redis_binaries

GIBIBYTE = 1024**3
_BROWSER = "tests/browser/"

# A machine that pauses is no fault of the example that it pauses in.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# What a shell starts in the background ignores Ctrl-C, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell of a row when its test has ended; of two that run at a time, only the process above them has a terminal."""
    if report.when == "call" and "PYTEST_XDIST_WORKER" not in os.environ:
        tell_rows(report)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Of ``--dist loadfile``: give the files of the browser to one process, which starts one chromium and one stack."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class BrowserAtOnce(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _BROWSER if nodeid.startswith(_BROWSER) else super()._split_scope(nodeid)

    return BrowserAtOnce(config, log)


@pytest.fixture(scope="session")
def redis_binary(request: pytest.FixtureRequest) -> Path:
    """The redis-server to test with; another one by indirect parametrisation with a name of ``redis_binaries``."""
    found = redis_binaries()
    name = getattr(request, "param", next(iter(found), None))
    if name not in found:
        reason = f"no {name or 'redis-server'} found"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; CI must not skip these tests")
        pytest.skip(reason)
    return found[name]


@pytest.fixture(scope="session")
def shared_redis_server(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests of a binary, because starting one costs more than most tests."""
    server = RedisServer(redis_binary, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(shared_redis_server: RedisServer) -> RedisServer:
    """An empty Redis with AOF always and noeviction. Tests that end or restrict it take ``mortal_redis_server``."""
    shared_redis_server.empty()
    return shared_redis_server


@pytest.fixture
def mortal_redis_server(redis_binary: Path, tmp_path: Path) -> Iterator[RedisServer]:
    """A server for this test alone: kill it, fill it, misconfigure it."""
    directory = tmp_path / "redis"
    directory.mkdir()
    server = RedisServer(redis_binary, directory)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def redis_client(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """A client as the gateway uses it."""
    async with connect_gateway(redis_server.settings) as client:
        yield client


@pytest.fixture
def queue(redis_client: Redis) -> JobQueue:
    return JobQueue(redis_client)


@pytest.fixture
def worklist(redis_client: Redis) -> Worklist:
    return Worklist(redis_client)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", quota_bytes=GIBIBYTE, minimum_free_ratio=0.0)
