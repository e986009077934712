"""How a test reaches its gateway, whichever one its module starts: as a client of it, and as its worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from services.jobs.connection import connect_gateway
from services.jobs.queue import JobQueue
from tests.support.access import bearer
from tests.support.gateway import GatewayProcess
from tests.support.redis_server import RedisServer


@pytest.fixture
def gateway(keys_and_gateway: tuple[dict[str, str], GatewayProcess], redis_server: RedisServer) -> GatewayProcess:
    """The gateway of the module's ``keys_and_gateway``, empty again; other modules have a ``gateway`` of their own."""
    process = keys_and_gateway[1]
    process.empty_spool()
    return process


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    """A client of the module's own ``gateway``."""
    with gateway.client() as client:
        yield client


@pytest.fixture
def clients(
    keys_and_gateway: tuple[dict[str, str], GatewayProcess], gateway: GatewayProcess
) -> Iterator[dict[str, httpx.Client]]:
    """One client for each key of the module's ``keys_and_gateway``, by the key's name there."""
    opened = {name: gateway.client(headers=bearer(key)) for name, key in keys_and_gateway[0].items()}
    yield opened
    for client in opened.values():
        client.close()


@pytest.fixture
async def worker_queue(redis_server: RedisServer) -> AsyncIterator[JobQueue]:
    """The queue of the same Redis, for tests that play the worker themselves."""
    async with connect_gateway(redis_server.settings) as redis:
        yield JobQueue(redis)
