"""Redis' clock goes back: what it left in the future is found again as soon as it would have been.

Claims of dead workers are the bar's (R10): Redis itself accepts no claim from the future, only a clock can make one.
"""

from __future__ import annotations

from typing import Final

import pytest
from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.queue import JobQueue
from tests.support.jobs import make_job, now_ms
from tests.support.queue_steps import take_one
from tests.support.redis_server import EVERY_REDIS

pytestmark = pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)

JUMP_MS: Final = 2 * 3_600_000
IDLE_MS: Final = 30


async def test_film_that_waits_for_another_attempt_does_not_wait_for_the_jump(
    queue: JobQueue, redis_client: Redis
) -> None:
    taken = await take_one(queue, "a")
    await queue.retry("a", taken)
    await redis_client.zadd(keys.RETRY, {taken.job.id: now_ms() + JUMP_MS})
    await redis_client.hset(keys.WORKERS, "a", f"{now_ms() + JUMP_MS}|{{}}")
    assert await queue.promote() == 0
    assert await queue.heal_clock()
    assert await queue.promote() == 1


async def test_open_film_is_open_since_now_at_the_latest(queue: JobQueue, redis_client: Redis) -> None:
    job = make_job()
    await queue.submit(job)
    await redis_client.zadd(keys.OPEN, {job.id: now_ms() + JUMP_MS})
    await redis_client.hset(keys.WORKERS, "a", f"{now_ms() + JUMP_MS}|{{}}")
    await queue.heal_clock()
    assert await redis_client.zscore(keys.OPEN, job.id) <= now_ms() + 1000


async def test_film_given_back_in_good_order_stays_given_back(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue, "a")
    await queue.release("a", [taken])
    await redis_client.hset(keys.WORKERS, "a", f"{now_ms() + JUMP_MS}|{{}}")
    assert await queue.heal_clock()
    assert await queue.reap("b", idle_ms=IDLE_MS) is None
    (again,) = await queue.take("b", count=1, block_ms=0)
    assert (again.job, again.crashes) == (taken.job, 0)


async def test_clock_that_goes_on_heals_nothing_and_a_jump_is_healed_once(queue: JobQueue, redis_client: Redis) -> None:
    await redis_client.hset(keys.WORKERS, "a", f"{now_ms()}|{{}}")
    assert not await queue.heal_clock()
    await redis_client.hset(keys.WORKERS, "a", f"{now_ms() + JUMP_MS}|{{}}")
    assert await queue.heal_clock()
    assert not await queue.heal_clock()
