"""What is owed ends: with the record, with the film, or because an operator has no such target any more."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.deliveries import Requeued
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.queue import JobQueue
from services.jobs.records import Job
from tests.support.queue_steps import finish, take_one
from tests.support.redis_server import EVERY_REDIS

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]

PACS, HOOK = "pacs", "hook"
DAY_MS = 86_400_000


@pytest.fixture
async def outbox(redis_client: Redis) -> DeliveryOutbox:
    outbox = DeliveryOutbox(redis_client)
    await outbox.announce([PACS])
    return outbox


async def decide(queue: JobQueue) -> Job:
    taken = await take_one(queue)
    assert await finish(queue, taken)
    return taken.job


async def give_up(queue: JobQueue, outbox: DeliveryOutbox) -> Job:
    job = await decide(queue)
    (owed,) = await outbox.lease(PACS, count=9)
    await outbox.dead(owed, reason="refused")
    return job


async def keys_of(redis: Redis, target: str) -> list[str]:
    return [key async for key in redis.scan_iter(f"{keys.TAG}:deliver:*:{target}")]


async def test_what_nobody_leases_is_owed_no_longer_than_records_live(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis
) -> None:
    await outbox.disable(PACS, reason="gone")
    old = [await decide(queue) for _ in range(3)]
    for part in ("due", "since"):
        for job in old:
            await redis_client.zincrby(keys.delivery(part, PACS), -32 * DAY_MS, f"{job.id}:1")
    new = [await decide(queue) for _ in range(2)]
    due: Any = await redis_client.zrange(keys.delivery("due", PACS), 0, -1)
    assert set(due) == {f"{job.id}:1" for job in new}, "two leave for each that comes"
    letters = await outbox.dead_letters(PACS, limit=9)
    assert {letter.film_id: letter.reason for letter in letters} == {job.id: "record_expired" for job in old}


async def test_decision_tells_whether_its_film_is_kept(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis
) -> None:
    kept, gone = [await decide(queue) for _ in range(2)]
    await redis_client.hdel(keys.instance(gone.id), "payload")
    leased = await outbox.lease(PACS, count=9)
    assert {owed.film_id: owed.is_payload_kept for owed in leased} == {kept.id: True, gone.id: False}


async def test_dead_letter_tells_whether_its_film_is_kept_and_so_does_its_requeue(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis
) -> None:
    kept, gone = [await give_up(queue, outbox) for _ in range(2)]
    await redis_client.hdel(keys.instance(gone.id), "payload")
    letters = await outbox.dead_letters(PACS, limit=9)
    assert {letter.film_id: letter.is_payload_kept for letter in letters} == {kept.id: True, gone.id: False}
    assert await outbox.requeue(PACS) == Requeued(count=2, without_payload=1)


async def test_target_that_is_announced_is_not_forgotten(queue: JobQueue, outbox: DeliveryOutbox) -> None:
    await decide(queue)
    assert not await outbox.forget(PACS)
    assert [(standing.name, standing.due) for standing in await outbox.standings()] == [(PACS, 1)]


@pytest.mark.parametrize("is_announced", [False, True])
async def test_forgotten_target_leaves_nothing_and_other_targets_keep_theirs(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis, is_announced: bool
) -> None:
    await outbox.announce([PACS, HOOK])
    await give_up(queue, outbox)
    job = await decide(queue)
    await outbox.disable(PACS, reason="gone")
    if not is_announced:
        await outbox.announce([HOOK])
    assert await outbox.forget(PACS, is_announced_too=is_announced)
    assert await keys_of(redis_client, PACS) == []
    assert [(standing.name, standing.due) for standing in await outbox.standings()] == [(HOOK, 2)]
    assert (await queue.record(job.id)).outcome is not None
    await decide(queue)
    assert await keys_of(redis_client, PACS) == [], "nothing new is entered for it"


async def test_what_is_under_way_to_a_target_when_it_is_forgotten_does_not_come_back(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis
) -> None:
    await decide(queue)
    (owed,) = await outbox.lease(PACS, count=9)
    await outbox.announce([HOOK])
    assert await outbox.forget(PACS)
    await outbox.later(owed, wait_ms=0, reason="unreachable")
    await outbox.give_back(owed)
    await outbox.dead(owed, reason="refused")
    await outbox.delivered(owed)
    assert await keys_of(redis_client, PACS) == []
