"""Promises that no order of events shows, each as a check of the queue with given scripts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.errors import QueueUnavailable
from services.jobs.queue import JobQueue
from services.jobs.records import JobState, Priority
from tests.support.jobs import make_job
from tests.support.queue_steps import deadline, finish, take_one

Check = Callable[[JobQueue, Redis], Awaitable[None]]


async def held_films_can_be_finished_while_redis_is_out_of_memory(queue: JobQueue, client: Redis) -> None:
    taken = await take_one(queue)
    await client.config_set("maxmemory", "1")
    try:
        is_first = await finish(queue, taken)
    except QueueUnavailable as error:
        raise AssertionError("a held film cannot be finished") from error
    finally:
        await client.config_set("maxmemory", "0")
    assert is_first
    assert (await queue.record(taken.job.id)).state is JobState.DONE


async def redis_out_of_memory_refuses_submits_whole(queue: JobQueue, client: Redis) -> None:
    await queue.submit(make_job())
    names = set(await client.keys("*"))
    await client.config_set("maxmemory", "1")
    try:
        await queue.submit(make_job())
    except QueueUnavailable:
        assert set(await client.keys("*")) == names
    else:
        raise AssertionError("a film was accepted")
    finally:
        await client.config_set("maxmemory", "0")


async def routine_gets_its_share_under_a_flood_of_stat(queue: JobQueue, client: Redis) -> None:
    for priority in (Priority.ROUTINE, *[Priority.STAT] * 16):
        await queue.submit(make_job(priority=priority))
    taken = await queue.take("a", count=8, block_ms=0)
    assert [one.job.priority for one in taken].count(Priority.ROUTINE) == 1
    assert await client.xlen(keys.queue(Priority.STAT)) == 16


async def one_wrong_clock_ends_nothing(queue: JobQueue, client: Redis) -> None:
    job = make_job()
    await queue.submit(job)
    await client.zincrby(keys.OPEN, -(10**8), job.id)
    assert await queue.expire(deadline(3600)) == 0


async def suspects_run_alone(queue: JobQueue, client: Redis) -> None:
    await take_one(queue, "dead")
    suspect = await queue.reap("b", idle_ms=0)
    assert suspect is not None
    assert await queue.retry("b", suspect)
    await client.zadd(keys.RETRY, {suspect.job.id: 0})
    await queue.promote()
    innocent = make_job()
    await queue.submit(innocent)
    assert [taken.job for taken in await queue.take("c", count=8, block_ms=0)] == [innocent]


async def zombie_puts_nothing_off(queue: JobQueue, client: Redis) -> None:
    taken = await take_one(queue, "zombie")
    reaped = await queue.reap("b", idle_ms=0)
    assert reaped is not None
    assert await queue.retry("zombie", taken)
    assert await client.zcard(keys.RETRY) == 0
    assert (await queue.record(taken.job.id)).state is JobState.RUNNING


async def release_burns_no_attempt(queue: JobQueue, client: Redis) -> None:
    taken = await take_one(queue)
    await queue.release("a", [taken])
    assert (await queue.record(taken.job.id)).attempts == 0
    assert await client.zcard(keys.RETRY) == 0


async def reconcile_leaves_a_healthy_queue_alone(queue: JobQueue, client: Redis) -> None:
    await take_one(queue)
    assert await queue.reconcile() == 0
    assert await client.xlen(keys.queue(Priority.ROUTINE)) == 1


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        held_films_can_be_finished_while_redis_is_out_of_memory,
        redis_out_of_memory_refuses_submits_whole,
        routine_gets_its_share_under_a_flood_of_stat,
        one_wrong_clock_ends_nothing,
        suspects_run_alone,
        zombie_puts_nothing_off,
        release_burns_no_attempt,
        reconcile_leaves_a_healthy_queue_alone,
    )
}
