"""What becomes of films when Redis forgets, is tampered with, fills up, or is killed."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.errors import QueueUnavailable
from services.jobs.queue import JobQueue
from tests.support.jobs import make_job, now_ms
from tests.support.queue_steps import LONG_MS, ROUTINE, assert_nothing_is_left, backdate, deadline, finish, take_one
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]


# -- Redis forgets -----------------------------------------------------------------------------------------------------
async def test_films_of_a_deleted_consumer_are_queued_again(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue)
    await redis_client.xgroup_delconsumer(ROUTINE, keys.GROUP, "a")
    assert await queue.reap("b", idle_ms=0) is None
    assert await queue.reconcile() == 1
    (again,) = await queue.take("b", count=1, block_ms=0)
    assert again.job == taken.job
    assert await finish(queue, again)
    await assert_nothing_is_left(redis_client)


async def test_worker_that_lost_its_entry_still_finishes_and_leaves_nothing(
    queue: JobQueue, redis_client: Redis
) -> None:
    taken = await take_one(queue)
    await redis_client.xgroup_delconsumer(ROUTINE, keys.GROUP, "a")
    await queue.reconcile()
    assert await finish(queue, taken)
    await assert_nothing_is_left(redis_client)


async def test_trimmed_stream_is_refilled(queue: JobQueue, redis_client: Redis) -> None:
    jobs = [make_job() for _ in range(4)]
    for job in jobs:
        await queue.submit(job)
    (held,) = await queue.take("a", count=1, block_ms=0)
    await redis_client.xtrim(ROUTINE, maxlen=0, approximate=False)
    assert await queue.reconcile() == 4
    assert await finish(queue, held)
    assert {taken.job for taken in await queue.take("b", count=8, block_ms=0)} == set(jobs[1:])


async def test_trimmed_entry_of_a_dead_worker_does_not_stop_the_reaper(queue: JobQueue, redis_client: Redis) -> None:
    await take_one(queue, "dead")
    await redis_client.xtrim(ROUTINE, maxlen=0, approximate=False)
    second = await take_one(queue, "dead")
    reaped = await queue.reap("b", idle_ms=0)
    assert reaped is not None
    assert reaped.job == second.job


async def test_entry_that_somebody_added_by_hand_does_not_run_a_film_twice(
    queue: JobQueue, redis_client: Redis
) -> None:
    job = make_job()
    await queue.submit(job)
    for film_id in (job.id, "0" * 32):
        await redis_client.xadd(ROUTINE, {"id": film_id})
    (taken,) = await queue.take("a", count=8, block_ms=0)
    assert taken.job == job
    assert await redis_client.xlen(ROUTINE) == 1


async def test_destroyed_group_is_made_anew_and_nothing_is_skipped(queue: JobQueue, redis_client: Redis) -> None:
    held = await take_one(queue)
    waiting = make_job()
    await queue.submit(waiting)
    await redis_client.xgroup_destroy(ROUTINE, keys.GROUP)
    assert await queue.reap("b", idle_ms=0) is None
    assert await queue.retry("a", held)
    await queue.release("a", [held])
    taken = await queue.take("b", count=8, block_ms=0)
    assert {one.job for one in taken} == {held.job, waiting}


async def test_healthy_queue_is_left_alone_by_reconcile(queue: JobQueue, redis_client: Redis) -> None:
    for _ in range(4):
        await queue.submit(make_job())
    held, put_off, released = await queue.take("a", count=3, block_ms=0)
    await queue.retry("a", put_off)
    await queue.release("a", [released])
    assert await queue.reconcile() == 0
    assert await finish(queue, held)
    assert await queue.reconcile() == 0


async def test_films_waiting_before_the_first_worker_are_left_alone_by_reconcile(queue: JobQueue) -> None:
    await queue.submit(make_job())
    assert await queue.reconcile() == 0
    assert len(await queue.take("a", count=8, block_ms=0)) == 1


async def test_worker_that_finishes_after_redis_lost_everything_leaves_no_half_record(
    queue: JobQueue, redis_client: Redis
) -> None:
    taken = await take_one(queue)
    await redis_client.flushall()
    assert not await finish(queue, taken)
    assert await redis_client.keys("*") == []


async def test_job_that_cannot_be_read_does_not_keep_its_neighbours_waiting(
    queue: JobQueue, redis_client: Redis
) -> None:
    damaged, whole = make_job(submitted_ms=now_ms() - LONG_MS), make_job()
    for job in (damaged, whole):
        await queue.submit(job)
    await redis_client.hset(keys.instance(damaged.id), "job", "{")
    assert [taken.job for taken in await queue.take("a", count=2, block_ms=0)] == [whole]
    assert await queue.reap("b", idle_ms=0) is None
    await backdate(redis_client, damaged.id, seconds=LONG_MS / 1000)
    assert await queue.expire(deadline(LONG_MS / 2000)) == 1, "it ends not_assessed all the same"


async def test_forgotten_scripts_are_loaded_again(queue: JobQueue, redis_client: Redis) -> None:
    await redis_client.script_flush()
    assert (await queue.submit(make_job())).is_new


# -- Redis breaks ------------------------------------------------------------------------------------------------------
async def test_redis_out_of_memory_refuses_submits_whole_and_still_finishes(mortal_redis_server: RedisServer) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        for _ in range(5):
            await queue.submit(make_job(submitted_ms=now_ms() - 10_000))
        silent, *held, put_off = await queue.take("a", count=4, block_ms=0)
        await backdate(client, *await client.zrange(keys.OPEN, 0, -1), seconds=10)
        await client.config_set("maxmemory", "1")
        names_before = set(await client.keys("*"))
        refused = make_job()
        with pytest.raises(QueueUnavailable):
            await queue.submit(refused)
        assert set(await client.keys("*")) == names_before
        assert await client.zscore(keys.OPEN, refused.id) is None
        with pytest.raises(QueueUnavailable):
            await queue.check_durability()
        assert await queue.retry("a", put_off)
        assert all([await finish(queue, taken) for taken in held])
        (last,) = await queue.take("a", count=1, block_ms=0)
        reaped = await queue.reap("b", idle_ms=0)
        assert reaped is not None
        assert reaped.job == silent.job
        assert await finish(queue, reaped)
        await queue.release("a", [last])
        assert await queue.expire(deadline(1)) == 2
        assert await client.zcard(keys.OPEN) == 0
        await client.config_set("maxmemory", "0")
        assert (await queue.submit(refused)).is_new


async def test_redis_killed_while_films_are_submitted_loses_none_that_was_acknowledged(
    mortal_redis_server: RedisServer,
) -> None:
    acknowledged: list[str] = []
    has_enough = asyncio.Event()

    async def submit_until_it_breaks(queue: JobQueue) -> None:
        while mortal_redis_server.is_running:
            job = make_job()
            try:
                await queue.submit(job)
            except QueueUnavailable:
                continue  # a slow answer is no end; whether a killed Redis had heard of it, nobody knows
            acknowledged.append(job.id)
            if len(acknowledged) >= 200:
                has_enough.set()

    async with connect_gateway(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        submitters = [asyncio.create_task(submit_until_it_breaks(queue)) for _ in range(4)]
        await asyncio.wait_for(has_enough.wait(), 240)
        mortal_redis_server.kill()
        await asyncio.gather(*submitters)
        await asyncio.to_thread(mortal_redis_server.start)
        assert {record.id for record in await queue.records(acknowledged)} == set(acknowledged)
        taken: set[str] = set()
        while jobs := await queue.take("a", count=100, block_ms=0):
            taken |= {one.job.id for one in jobs}
        assert taken >= set(acknowledged)
        assert await queue.reconcile() == 0
