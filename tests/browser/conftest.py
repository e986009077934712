"""Debian's chromium before a running service. A test skips where either is missing, and fails in CI."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.browser.watched import WatchedPage, open_browser
from tests.support.access import make_key
from tests.support.finding_bundles import write_finding_bundle
from tests.support.gateway import GatewayProcess
from tests.support.ports import free_ports
from tests.support.redis_server import RedisServer
from tests.support.stack import StackProcess
from tests.support.tools import require_tools

OpenPage = Callable[..., WatchedPage]


# Of this package, not of the session: while playwright runs, no test of asyncio can.
@pytest.fixture(scope="package")
def chromium() -> Iterator[object]:
    require_tools("chromium")
    if importlib.util.find_spec("playwright") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI lacks playwright")
        pytest.skip("playwright not installed")
    with open_browser(str(shutil.which("chromium"))) as browser:
        yield browser


@pytest.fixture(scope="package")
def stack(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """``cxr-triage up`` with a bundle of findings that takes age and sex."""
    directory = tmp_path_factory.mktemp("page")
    with StackProcess(directory, bundle=write_finding_bundle(directory / "bundle")) as running:
        running.wait_ready()
        yield running
        assert running.stop() == 0, running.output[-3000:]


@pytest.fixture
def api(stack: StackProcess) -> Iterator[httpx.Client]:
    """The service as the tests ask it themselves."""
    with stack.client() as client:
        yield client


@pytest.fixture
def open_page(chromium: object) -> Iterator[OpenPage]:
    """Opens pages; after the test each must have had no trouble but what the test foresaw."""
    with ExitStack() as opened:

        def open_at(url: str, **options: object) -> WatchedPage:
            return opened.enter_context(WatchedPage(chromium, url, **options))

        yield open_at


@pytest.fixture
def page(open_page: OpenPage, stack: StackProcess) -> WatchedPage:
    """The page of the running stack."""
    return open_page(stack.wait_ready())


@pytest.fixture
def gateway(mortal_redis_server: RedisServer, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway without workers, to which any film is overdue after a second."""
    # It may be started again on its port.
    (port,) = free_ports(1)
    url = mortal_redis_server.url
    with GatewayProcess(tmp_path, redis_url=url, port=port, api_overdue_routine_seconds=1) as running:
        running.wait_ready()
        yield running


@pytest.fixture
def locked(redis_server: RedisServer, tmp_path: Path) -> Iterator[tuple[GatewayProcess, str]]:
    """A gateway that asks for a key, and the key."""
    key = make_key(tmp_path / "keys.json", label="Reading room")
    with GatewayProcess(tmp_path, redis_url=redis_server.url, api_keys_file=tmp_path / "keys.json") as running:
        running.wait_ready()
        yield running, key
