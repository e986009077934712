"""A command is carried out, its reply is lost, redis-py repeats it: one job, one attempt, one result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from model.errors import Reason
from services.jobs import keys, lua
from services.jobs.connection import connect_gateway, connect_worker
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.errors import QueueUnavailable
from services.jobs.queue import JobQueue
from services.jobs.settings import RedisSettings
from tests.support.jobs import make_job
from tests.support.lossy_proxy import LossyProxy, lossy_proxy
from tests.support.outcomes import attempted
from tests.support.queue_steps import LONG_MS, ROUTINE, assert_nothing_is_left, finish, take_one
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]


@pytest.fixture
async def proxy(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[LossyProxy]:
    async with lossy_proxy(redis_server.socket, tmp_path / "proxy.sock") as proxy:
        yield proxy


@pytest.fixture
async def lossy_queue(proxy: LossyProxy) -> AsyncIterator[JobQueue]:
    """A queue whose replies can be lost; redis-py repeats the command by itself."""
    async with connect_worker(RedisSettings.model_validate({"url": proxy.url})) as client:
        await client.ping()
        yield JobQueue(client)


async def test_submit_whose_reply_is_lost_is_one_job(
    lossy_queue: JobQueue, proxy: LossyProxy, redis_client: Redis
) -> None:
    job = make_job()
    proxy.lose(2)
    submission = await lossy_queue.submit(job)
    assert proxy.all_lost
    assert submission.is_new
    assert await redis_client.xlen(ROUTINE) == 1
    assert await redis_client.zcard(keys.OPEN) == 1


async def test_take_whose_reply_is_lost_hands_the_same_jobs_out_again(
    lossy_queue: JobQueue, proxy: LossyProxy, redis_client: Redis
) -> None:
    jobs = [make_job() for _ in range(5)]
    for job in jobs:
        await lossy_queue.submit(job)
    await lossy_queue.take("a", count=1, block_ms=0)
    proxy.lose()
    taken = await lossy_queue.take("a", count=2, block_ms=0)
    assert proxy.all_lost
    assert [one.job for one in taken] == jobs[1:3]
    assert (await redis_client.xpending(ROUTINE, keys.GROUP))["pending"] == 3
    assert (await lossy_queue.record(jobs[1].id)).attempts == 1


async def test_take_that_was_given_up_gets_its_jobs_at_the_next_call(
    proxy: LossyProxy, queue: JobQueue, redis_client: Redis
) -> None:
    job = make_job()
    await queue.submit(job)
    await redis_client.script_load(lua.source("take"))
    # The gateway's client gives up after two more attempts, so that no clock decides here.
    async with connect_gateway(RedisSettings.model_validate({"url": proxy.url})) as client:
        asking = JobQueue(client)
        proxy.lose_every(1)
        with pytest.raises(QueueUnavailable):
            await asking.take("a", count=1, block_ms=0)
        proxy.lose_every(0)
        assert (await queue.record(job.id)).attempts == 1, "carried out, and nobody heard"
        (taken,) = await asking.take("a", count=1, block_ms=0)
    assert taken.job == job
    assert (await queue.record(job.id)).attempts == 1


async def test_reap_whose_reply_is_lost_counts_one_crash(
    lossy_queue: JobQueue, proxy: LossyProxy, redis_client: Redis
) -> None:
    await take_one(lossy_queue, "dead")
    proxy.lose()
    reaped = await lossy_queue.reap("b", idle_ms=0)
    assert proxy.all_lost
    assert reaped is not None
    assert reaped.crashes == 1
    assert await lossy_queue.reap("c", idle_ms=LONG_MS) is None


async def test_finish_whose_reply_is_lost_is_one_commit_and_still_ours(
    lossy_queue: JobQueue, proxy: LossyProxy, redis_client: Redis
) -> None:
    taken = await take_one(lossy_queue)
    proxy.lose()
    assert await finish(lossy_queue, taken)
    assert await redis_client.hget(keys.instance(taken.job.id), "commits") == "1"
    await assert_nothing_is_left(redis_client)


async def test_retry_whose_reply_is_lost_burns_one_try(
    lossy_queue: JobQueue, proxy: LossyProxy, redis_client: Redis
) -> None:
    taken = await take_one(lossy_queue)
    proxy.lose()
    assert await lossy_queue.retry("a", taken)
    assert await redis_client.hget(keys.instance(taken.job.id), "tries") == "1"
    assert await redis_client.zcard(keys.RETRY) == 1


async def test_last_retry_whose_reply_is_lost_is_not_mistaken_for_exhaustion(proxy: LossyProxy) -> None:
    async with connect_worker(RedisSettings.model_validate({"url": proxy.url})) as client:
        queue = JobQueue(client, retry_seconds=(0.0,))
        taken = await take_one(queue)
        proxy.lose()
        assert await queue.retry("a", taken)


async def test_release_whose_reply_is_lost_gives_back_once(
    lossy_queue: JobQueue, proxy: LossyProxy, redis_client: Redis
) -> None:
    taken = await take_one(lossy_queue)
    proxy.lose()
    await lossy_queue.release("a", [taken])
    assert (await lossy_queue.record(taken.job.id)).attempts == 0


@pytest.mark.parametrize("turns", range(12))
async def test_a_stop_in_the_middle_of_a_take_gives_back_what_it_took(
    queue: JobQueue, redis_client: Redis, turns: int
) -> None:
    await take_one(queue)
    jobs = [make_job() for _ in range(3)]
    for job in jobs:
        await queue.submit(job)
    taking = asyncio.create_task(queue.take("stopped", count=2, block_ms=0))
    for _ in range(turns):
        await asyncio.sleep(0)
    taking.cancel()
    (answer,) = await asyncio.gather(taking, return_exceptions=True)
    await queue.release("stopped", answer if isinstance(answer, list) else [])
    assert await redis_client.xpending_range(ROUTINE, keys.GROUP, "-", "+", 10, "stopped") == []
    assert [(await queue.record(job.id)).attempts for job in jobs] == [0, 0, 0]


async def test_a_take_whose_answer_never_came_is_given_back(
    lossy_queue: JobQueue, proxy: LossyProxy, queue: JobQueue, redis_client: Redis
) -> None:
    jobs = [make_job() for _ in range(3)]
    for job in jobs:
        await queue.submit(job)
    await redis_client.script_load(lua.source("take"))
    async with _unheard(lossy_queue.take("a", count=2, block_ms=0), proxy):
        await attempted(queue, jobs[0], times=1)
    assert sorted([(await queue.record(job.id)).attempts for job in jobs]) == [0, 1, 1]
    await lossy_queue.release("a", [])
    assert [(await queue.record(job.id)).attempts for job in jobs] == [0, 0, 0]


async def test_a_reap_whose_answer_never_came_is_given_back_as_a_suspect(
    lossy_queue: JobQueue, proxy: LossyProxy, queue: JobQueue, redis_client: Redis
) -> None:
    taken = await take_one(queue)
    await redis_client.script_load(lua.source("reap"))
    async with _unheard(lossy_queue.reap("b", idle_ms=0), proxy):
        await attempted(queue, taken.job, times=2)
    await lossy_queue.release("b", [])
    assert (await queue.record(taken.job.id)).attempts == 1
    suspect = await queue.reap("c", idle_ms=LONG_MS)
    assert suspect is not None
    assert suspect.crashes == 1, "counted once, by the reap that nobody heard"


async def test_a_reap_whose_answer_never_came_is_seen_at_the_next_look_and_not_counted_again(
    lossy_queue: JobQueue, proxy: LossyProxy, queue: JobQueue, redis_client: Redis
) -> None:
    taken = await take_one(queue)
    await redis_client.script_load(lua.source("reap"))
    async with _unheard(lossy_queue.reap("b", idle_ms=0), proxy):
        await attempted(queue, taken.job, times=2)
    assert not await queue.has_suspects("c", idle_ms=LONG_MS), "it seems to be somebody's"
    assert await lossy_queue.has_suspects("b", idle_ms=LONG_MS)
    suspect = await lossy_queue.reap("b", idle_ms=LONG_MS)
    assert suspect is not None
    assert (suspect.job, suspect.crashes) == (taken.job, 1)


@asynccontextmanager
async def _unheard(step: Coroutine[Any, Any, object], proxy: LossyProxy) -> AsyncIterator[None]:
    """Cut a step off at the end of the block, which waits until Redis has carried it out."""
    proxy.lose_every(1)
    asking = asyncio.create_task(step)
    yield
    asking.cancel()
    with pytest.raises((asyncio.CancelledError, QueueUnavailable)):  # a slow machine lets it give up before
        await asking
    proxy.lose_every(0)


async def test_order_to_score_again_whose_reply_is_lost_keeps_the_decision_once(
    lossy_queue: JobQueue, proxy: LossyProxy, redis_client: Redis
) -> None:
    taken = await take_one(lossy_queue)
    await finish(lossy_queue, taken)
    await redis_client.script_load(lua.source("rescore"))
    proxy.lose_every(2)  # the reply to the look at the record arrives, that of the script does not
    assert (await lossy_queue.rescore(taken.job.id)).outcome is None
    proxy.lose_every(0)
    assert len(await lossy_queue.history(taken.job.id)) == 1
    assert await redis_client.xlen(ROUTINE) == 1


async def test_withdrawal_whose_reply_is_lost_is_one_and_says_that_it_was_the_first(
    lossy_queue: JobQueue, proxy: LossyProxy
) -> None:
    taken = await take_one(lossy_queue)
    await finish(lossy_queue, taken)
    proxy.lose(2)
    withdrawal = await lossy_queue.withdraw(taken.job.id)
    assert proxy.all_lost
    assert withdrawal.is_first
    assert withdrawal.record.reason is Reason.WITHDRAWN
    assert len(await lossy_queue.history(taken.job.id)) == 1


async def test_lease_whose_reply_is_lost_hands_the_same_decision_out_again(
    lossy_queue: JobQueue, proxy: LossyProxy
) -> None:
    async with connect_worker(RedisSettings.model_validate({"url": proxy.url})) as client:
        outbox = DeliveryOutbox(client)
        await outbox.announce(["pacs"])
        films = [await take_one(lossy_queue) for _ in range(2)]
        for taken in films:
            await finish(lossy_queue, taken)
        await outbox.lease("hook", count=1)
        proxy.lose(2)
        leased = await outbox.lease("pacs", count=9)
        assert proxy.all_lost
        assert {owed.film_id for owed in leased} == {taken.job.id for taken in films}
        assert await outbox.lease("pacs", count=9) == []


async def test_failed_delivery_whose_reply_is_lost_is_counted_once_and_one_that_arrived_stays_off(
    lossy_queue: JobQueue, proxy: LossyProxy
) -> None:
    async with connect_worker(RedisSettings.model_validate({"url": proxy.url})) as client:
        outbox = DeliveryOutbox(client)
        await outbox.announce(["pacs"])
        await finish(lossy_queue, await take_one(lossy_queue))
        (owed,) = await outbox.lease("pacs", count=1)
        proxy.lose(2)
        await outbox.later(owed, wait_ms=0, reason="unreachable")
        assert proxy.all_lost
        (owed,) = await outbox.lease("pacs", count=1)
        assert owed.attempts == 1
        proxy.lose(2)
        await outbox.delivered(owed)
        assert proxy.all_lost
        assert [standing.due for standing in await outbox.standings()] == [0]
