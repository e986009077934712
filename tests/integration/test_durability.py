"""A Redis that could lose what it acknowledges is refused before the gateway says it is ready."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.jobs.connection import connect_gateway
from services.jobs.errors import QueueUnavailable, QueueUnsafe
from services.jobs.queue import JobQueue
from services.jobs.settings import RedisSettings
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)


@pytest.mark.parametrize(
    ("option", "value"), [("appendonly", "no"), ("maxmemory-policy", "allkeys-lru"), ("appendfsync", "no")]
)
async def test_redis_that_could_lose_films_is_refused(
    mortal_redis_server: RedisServer, option: str, value: str
) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        await queue.check_durability()
        await client.config_set(option, value)
        with pytest.raises(QueueUnsafe):
            await queue.check_durability()


async def test_a_redis_that_still_loads_is_waited_for_and_never_called_unsafe(
    mortal_redis_server: RedisServer, redis_binary: Path
) -> None:
    commands = 20_000  # Redis looks at its connections once in 1,024 commands that it loads: every 0.4 s here
    with mortal_redis_server.client() as client:
        client.eval(f"for n = 1, {commands} do redis.call('SET', KEYS[1] .. n, n) end", 1, "{cxr}:load:")
    mortal_redis_server.kill()
    slow = RedisServer(redis_binary, mortal_redis_server.directory, "--key-load-delay", "400")
    starting = asyncio.create_task(asyncio.to_thread(slow.start))
    try:
        refusals = await _refusals_until_durable(slow)
        await starting
    finally:
        slow.stop()
    assert "Redis is still reading its files" in [str(refusal) for refusal in refusals], "asked too late to see it load"
    assert not [refusal for refusal in refusals if isinstance(refusal, QueueUnsafe)]


async def _refusals_until_durable(server: RedisServer) -> list[QueueUnavailable]:
    refusals = []
    async with connect_gateway(server.settings) as client:
        while True:
            try:
                await JobQueue(client).check_durability()
            except QueueUnavailable as error:
                refusals.append(error)
            else:
                return refusals


async def test_replica_is_refused(mortal_redis_server: RedisServer) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        await client.replicaof("127.0.0.1", "1")
        with pytest.raises(QueueUnsafe):
            await JobQueue(client).check_durability()


async def test_durability_is_checked_without_the_right_to_read_the_configuration(
    mortal_redis_server: RedisServer,
) -> None:
    async with connect_gateway(mortal_redis_server.settings) as admin:
        await admin.execute_command("ACL", "SETUSER", "api", "on", ">secret", "~{cxr}:*", "+@all", "-config")
        url = mortal_redis_server.url.replace("unix://", "unix://api:secret@")
        async with connect_gateway(RedisSettings.model_validate({"url": url})) as client:
            await JobQueue(client).check_durability()
