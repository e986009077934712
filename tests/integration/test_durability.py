"""A Redis that could lose what it acknowledges is refused before the gateway says it is ready."""

from __future__ import annotations

import pytest

from services.jobs.connection import connect_gateway
from services.jobs.errors import QueueUnsafe
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
