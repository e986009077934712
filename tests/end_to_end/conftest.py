"""One running stack for all tests that do not break it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.bundles import write_explaining_bundle
from tests.support.parts import Parts
from tests.support.redis_server import RedisServer
from tests.support.stack import StackProcess


@pytest.fixture(scope="session")
def tiny_bundle_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_explaining_bundle(tmp_path_factory.mktemp("bundles") / "explaining")


@pytest.fixture(scope="session")
def running_stack(
    redis_binary: Path, tiny_bundle_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackProcess]:
    """``cxr-triage up``; asking for ``redis_binary`` skips where there is none, and fails in CI."""
    stack = StackProcess(tmp_path_factory.mktemp("stack"), bundle=tiny_bundle_directory)
    stack.wait_ready()
    yield stack
    assert stack.stop() == 0, stack.output[-3000:]


@pytest.fixture
def client(running_stack: StackProcess) -> Iterator[httpx.Client]:
    with running_stack.client() as client:
        yield client


@pytest.fixture(scope="module")
def module_parts(
    redis_binary: Path, tiny_bundle_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parts]:
    """An installation for all tests of a module: a Redis that nobody else empties; nothing else runs yet."""
    directory = tmp_path_factory.mktemp("parts")
    (directory / "redis").mkdir()
    server = RedisServer(redis_binary, directory / "redis")
    server.start()
    yield Parts(directory=directory, server=server, bundle=tiny_bundle_directory)
    server.stop()
