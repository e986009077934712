"""What becomes of films whose workers die, fall silent, stop, fail, or take too long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from model.decision import Outcome
from model.errors import Reason
from services.jobs import keys
from services.jobs.beat import Beat
from services.jobs.connection import connect_heartbeat
from services.jobs.queue import JobQueue
from services.jobs.records import JobState, Priority
from tests.support.jobs import TIMINGS, make_job, now_ms, unread
from tests.support.queue_steps import LONG_MS, ROUTINE, assert_nothing_is_left, backdate, deadline, finish, take_one
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]


@pytest.fixture
def beat(redis_server: RedisServer) -> Iterator[Beat]:
    with connect_heartbeat(redis_server.settings) as client:
        yield Beat(client)


# -- workers die -------------------------------------------------------------------------------------------------------
async def test_job_of_a_silent_worker_goes_to_the_next_as_a_suspect(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue, "dead")
    assert await queue.reap("b", idle_ms=LONG_MS) is None, "not silent for long enough"
    reaped = await queue.reap("b", idle_ms=0)
    assert reaped is not None
    assert (reaped.job, reaped.crashes) == (taken.job, 1)
    assert await finish(queue, reaped)
    await assert_nothing_is_left(redis_client)


async def test_suspects_are_handed_out_one_at_a_time_and_stat_first(queue: JobQueue) -> None:
    for priority in (Priority.ROUTINE, Priority.ROUTINE, Priority.STAT):
        await queue.submit(make_job(priority=priority))
    await queue.take("dead", count=3, block_ms=0)
    first = await queue.reap("b", idle_ms=0)
    assert first is not None
    assert first.job.priority is Priority.STAT


async def test_crashes_are_counted_before_the_suspect_runs(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue, "dead")
    for crashes in (1, 2, 3, 4):
        reaped = await queue.reap(f"dies-{crashes}", idle_ms=0)
        assert reaped is not None
        assert reaped.crashes == crashes
    assert await redis_client.hget(keys.instance(taken.job.id), "crashes") == "4"


async def test_suspects_are_films_of_silent_workers_and_not_what_the_asking_one_works_on(queue: JobQueue) -> None:
    assert not await queue.has_suspects("b", idle_ms=0)
    taken = await take_one(queue)
    assert not await queue.has_suspects("a", idle_ms=0, holding=[taken.job.id])
    assert not await queue.has_suspects("b", idle_ms=LONG_MS), "not silent for long enough"
    assert await queue.has_suspects("b", idle_ms=0)
    assert (await queue.record(taken.job.id)).attempts == 1, "to look is not to take"


async def test_what_is_given_back_is_a_suspect_only_if_it_was_one_before(queue: JobQueue) -> None:
    await queue.release("a", [await take_one(queue)])
    assert not await queue.has_suspects("b", idle_ms=0)
    await take_one(queue, "dead")
    suspect = await queue.reap("b", idle_ms=0)
    assert suspect is not None
    await queue.release("b", [suspect])
    assert await queue.has_suspects("b", idle_ms=LONG_MS)


async def test_entry_without_a_film_is_worth_a_reap_which_removes_it(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue, "dead")
    await redis_client.xdel(ROUTINE, taken.message_id)
    assert await queue.has_suspects("b", idle_ms=0)
    assert await queue.reap("b", idle_ms=0) is None
    assert not await queue.has_suspects("b", idle_ms=0)


async def test_beat_keeps_a_film_from_being_reaped_and_counts_as_no_delivery(
    queue: JobQueue, beat: Beat, redis_client: Redis
) -> None:
    async def fall_silent_for_a_minute() -> None:
        await redis_client.xclaim(ROUTINE, keys.GROUP, "a", 0, [taken.message_id], idle=60_000, justid=True)

    taken = await take_one(queue)
    await fall_silent_for_a_minute()
    assert beat("a", [taken]) == []
    assert await queue.reap("b", idle_ms=30_000) is None
    (entry,) = await redis_client.xpending_range(ROUTINE, keys.GROUP, "-", "+", 1)
    assert entry["times_delivered"] == 1
    await fall_silent_for_a_minute()
    assert await queue.reap("b", idle_ms=30_000) is not None


async def test_beat_of_a_zombie_does_not_steal_back_and_tells_it(queue: JobQueue, beat: Beat) -> None:
    taken = await take_one(queue, "zombie")
    reaped = await queue.reap("b", idle_ms=0)
    assert reaped is not None
    assert beat("zombie", [taken]) == [taken.job.id]
    assert beat("b", [reaped]) == []


async def test_finish_of_a_zombie_changes_nothing(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue, "zombie")
    reaped = await queue.reap("b", idle_ms=0)
    assert reaped is not None
    assert await finish(queue, reaped, flagged=True)
    record = await queue.record(taken.job.id)
    assert not await finish(queue, taken, flagged=False)
    assert await queue.record(taken.job.id) == record
    assert await redis_client.hget(keys.instance(taken.job.id), "commits") == "1"


async def test_zombie_that_finishes_first_leaves_nothing_for_the_other(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue, "zombie")
    reaped = await queue.reap("b", idle_ms=0)
    assert reaped is not None
    assert await finish(queue, taken, flagged=True)
    assert not await finish(queue, reaped, flagged=False)
    assert (await queue.record(taken.job.id)).outcome is Outcome.FLAGGED
    await assert_nothing_is_left(redis_client)


async def test_retry_of_a_zombie_leaves_the_film_with_the_one_that_has_it(
    queue: JobQueue, redis_client: Redis, beat: Beat
) -> None:
    taken = await take_one(queue, "zombie")
    reaped = await queue.reap("b", idle_ms=0)
    assert reaped is not None
    assert await queue.retry("zombie", taken)
    assert beat("b", [reaped]) == []
    assert await redis_client.zcard(keys.RETRY) == 0
    assert await finish(queue, reaped)
    assert await queue.promote() == 0
    await assert_nothing_is_left(redis_client)


# -- release -----------------------------------------------------------------------------------------------------------
async def test_released_job_is_taken_at_once_and_burns_no_attempt(queue: JobQueue) -> None:
    taken = await take_one(queue)
    await queue.submit(make_job())
    await queue.release("a", [taken])
    assert (await queue.record(taken.job.id)).state is JobState.QUEUED
    assert await queue.reap("b", idle_ms=0) is None, "a released film is no suspect"
    (again,) = await queue.take("b", count=1, block_ms=0)
    assert again.job == taken.job, "it keeps its place before younger films"
    assert again.crashes == 0
    assert (await queue.record(taken.job.id)).attempts == 1


async def test_released_suspect_still_runs_alone_and_is_not_counted_again(queue: JobQueue) -> None:
    await take_one(queue, "dead")
    suspect = await queue.reap("b", idle_ms=0)
    assert suspect is not None
    await queue.release("b", [suspect])
    assert await queue.take("c", count=8, block_ms=0) == []
    again = await queue.reap("c", idle_ms=LONG_MS)
    assert again is not None
    assert again.crashes == 1


async def test_release_of_what_another_holds_is_no_release(queue: JobQueue, beat: Beat) -> None:
    taken = await take_one(queue, "zombie")
    reaped = await queue.reap("b", idle_ms=0)
    assert reaped is not None
    await queue.release("zombie", [taken])
    assert beat("b", [reaped]) == []


# -- retry -------------------------------------------------------------------------------------------------------------
async def test_retries_wait_longer_each_time_by_the_clock_of_redis(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue)
    for wait_ms in (1000, 5000, 25_000):
        before = await redis_time_ms(redis_client)
        assert await queue.retry("a", taken)
        due = await redis_client.zscore(keys.RETRY, taken.job.id)
        assert before + wait_ms <= due <= await redis_time_ms(redis_client) + wait_ms
        # Far from due, so that it is not due by the time of the look.
        await redis_client.zadd(keys.RETRY, {taken.job.id: before + LONG_MS})
        assert await queue.promote() == 0
        await redis_client.zadd(keys.RETRY, {taken.job.id: before})
        assert await queue.promote() == 1
        (taken,) = await queue.take("a", count=1, block_ms=0)
    assert taken.tries == 3
    assert not await queue.retry("a", taken)
    assert (await queue.record(taken.job.id)).state is JobState.RUNNING, "the caller still holds and finishes it"
    assert await queue.finish(taken, unread(Reason.RETRIES_EXHAUSTED), model=None, timings=TIMINGS)
    (dead,) = await redis_client.xrange(keys.DEAD)
    assert dead[1] == {"id": taken.job.id, "reason": "retries_exhausted"}


async def test_suspect_that_was_put_off_runs_alone_again(queue: JobQueue, redis_client: Redis) -> None:
    await take_one(queue, "dead")
    suspect = await queue.reap("b", idle_ms=0)
    assert suspect is not None
    await queue.retry("b", suspect)
    await redis_client.zadd(keys.RETRY, {suspect.job.id: 0})
    await queue.promote()
    innocent = make_job()
    await queue.submit(innocent)
    assert [taken.job for taken in await queue.take("c", count=8, block_ms=0)] == [innocent]
    again = await queue.reap("c", idle_ms=LONG_MS)
    assert again is not None
    assert (again.job, again.crashes) == (suspect.job, 1)


async def redis_time_ms(client: Redis) -> int:
    seconds, microseconds = await client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


# -- deadline ----------------------------------------------------------------------------------------------------------
async def test_film_past_its_deadline_ends_wherever_it_is(queue: JobQueue, redis_client: Redis) -> None:
    old = now_ms() - LONG_MS
    jobs = [make_job(submitted_ms=old + n) for n in range(4)]
    for job in jobs:
        await queue.submit(job)
    held, put_off, released = await queue.take("a", count=3, block_ms=0)
    await queue.retry("a", put_off)
    await queue.release("a", [released])
    young = make_job()
    await queue.submit(young)
    await backdate(redis_client, *(job.id for job in jobs), seconds=LONG_MS / 1000)
    assert await queue.expire(deadline(LONG_MS / 2000)) == 4
    for job in jobs:
        assert (await queue.record(job.id)).reason is Reason.DEADLINE
    assert not await finish(queue, held), "the result that stands is the deadline's"
    assert [taken.job for taken in await queue.take("a", count=8, block_ms=0)] == [young]
    assert await redis_client.xlen(keys.DEAD) == 4
    assert await redis_client.xlen(ROUTINE) == 1
