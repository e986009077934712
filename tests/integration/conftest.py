"""How a test reaches its gateway, whichever one its module starts: as a client of it, and as its worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from services.jobs.connection import connect_gateway
from services.jobs.queue import JobQueue
from tests.support.gateway import GatewayProcess
from tests.support.redis_server import RedisServer


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    """A client of the module's own ``gateway``."""
    with gateway.client() as client:
        yield client


@pytest.fixture
async def worker_queue(redis_server: RedisServer) -> AsyncIterator[JobQueue]:
    """The queue of the same Redis, for tests that play the worker themselves."""
    async with connect_gateway(redis_server.settings) as redis:
        yield JobQueue(redis)
