"""What the queue promises while nothing breaks: order, share, records, admission."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from model.errors import Reason
from services.jobs import keys
from services.jobs.errors import JobNotFound, QueueFull, RecordCorrupt
from services.jobs.queue import JobQueue, QueueLimits
from services.jobs.records import JobState, Priority, TakenJob, Timings
from services.jobs.status import WorkerStatus
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, now_ms, scored, unread
from tests.support.queue_steps import backdate
from tests.support.redis_server import EVERY_REDIS

pytestmark = pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)


async def check_room(queue: JobQueue, priority: Priority = Priority.ROUTINE) -> None:
    await queue.check_room(priority=priority, site="default", payload_bytes=0)


async def test_submitted_film_is_queued_with_a_record(queue: JobQueue) -> None:
    job = make_job()
    submission = await queue.submit(job)
    assert submission.is_new
    assert submission.record == await queue.record(job.id)
    assert submission.record.state is JobState.QUEUED
    assert submission.record.outcome is None
    assert submission.record.attempts == 0
    assert submission.record.links.self == f"/v1/instances/{job.id}"


async def test_same_submit_twice_is_one_job_and_stays_new(queue: JobQueue, redis_client: Redis) -> None:
    job = make_job()
    first = await queue.submit(job)
    second = await queue.submit(job)
    assert second.is_new, "its payload is the registered one and must not be removed"
    assert first.record == second.record
    assert await redis_client.xlen(keys.queue(Priority.ROUTINE)) == 1


async def test_same_film_with_another_payload_is_known(queue: JobQueue, redis_client: Redis) -> None:
    await queue.submit(make_job(1))
    again = await queue.submit(make_job(1))
    assert not again.is_new
    assert await redis_client.xlen(keys.queue(Priority.ROUTINE)) == 1


async def test_forty_submits_of_one_film_at_once_make_one_job(queue: JobQueue, redis_client: Redis) -> None:
    submissions = await asyncio.gather(*(queue.submit(make_job(1)) for _ in range(40)))
    assert sum(submission.is_new for submission in submissions) == 1
    assert await redis_client.xlen(keys.queue(Priority.ROUTINE)) == 1
    assert await redis_client.zcard(keys.OPEN) == 1


async def test_routine_is_refused_at_its_limit_and_stat_at_the_end_of_the_reserve(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(routine_depth=2, stat_reserve=1))
    await queue.submit(make_job())
    await queue.submit(make_job(priority=Priority.STAT))
    refused = make_job()
    with pytest.raises(QueueFull):
        await queue.submit(refused)
    assert not await redis_client.exists(keys.instance(refused.id))
    with pytest.raises(QueueFull):
        await check_room(queue)
    await check_room(queue, Priority.STAT)
    await queue.submit(make_job(priority=Priority.STAT))
    with pytest.raises(QueueFull):
        await queue.submit(make_job(priority=Priority.STAT))


async def test_film_accepted_before_is_submitted_again_past_the_limit(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(routine_depth=1, stat_reserve=0))
    await queue.submit(make_job())
    assert (await queue.resubmit(make_job())).is_new


async def test_films_held_and_put_off_count_as_backlog(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(routine_depth=2, stat_reserve=0))
    for _ in range(2):
        await queue.submit(make_job())
    held, put_off = await queue.take("a", count=2, block_ms=0)
    await queue.retry("a", put_off)
    with pytest.raises(QueueFull):
        await check_room(queue)
    with pytest.raises(QueueFull):
        await queue.submit(make_job())
    await queue.finish(held, unread(), model=None, timings=TIMINGS)
    await check_room(queue)


async def test_stat_is_taken_first(queue: JobQueue) -> None:
    await queue.submit(make_job())
    stat = make_job(priority=Priority.STAT)
    await queue.submit(stat)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    assert taken.job == stat


@pytest.mark.parametrize("batch", [1, 3, 8, 16, 20])
async def test_one_of_eight_taken_jobs_is_routine_under_a_flood_of_stat(queue: JobQueue, batch: int) -> None:
    for _ in range(24):
        await queue.submit(make_job())
    for _ in range(80):
        await queue.submit(make_job(priority=Priority.STAT))
    taken: list[Priority] = []
    while len(taken) + batch <= 64:
        taken += [job.job.priority for job in await queue.take("a", count=batch, block_ms=0)]
    assert taken.count(Priority.ROUTINE) == len(taken) // 8


async def test_an_unused_share_goes_to_stat(queue: JobQueue) -> None:
    for _ in range(16):
        await queue.submit(make_job(priority=Priority.STAT))
    assert len(await queue.take("a", count=16, block_ms=0)) == 16


async def test_waiting_take_gets_what_is_submitted_meanwhile(queue: JobQueue) -> None:
    assert await queue.take("a", count=1, block_ms=0) == []

    async def wait_for_a_film() -> TakenJob:
        """Take as workers do, who come again where nothing came in time."""
        while not (jobs := await queue.take("a", count=1, block_ms=2000)):
            pass
        return jobs[0]

    waiting = asyncio.create_task(wait_for_a_film())
    job = make_job()
    await queue.submit(job)
    async with asyncio.timeout(60):
        assert (await waiting).job == job


async def test_waiting_take_of_an_empty_queue_takes_nothing(queue: JobQueue) -> None:
    assert await queue.take("a", count=1, block_ms=20) == []


async def test_taking_no_job_at_all_is_refused(queue: JobQueue) -> None:
    with pytest.raises(ValueError, match="at least one"):
        await queue.take("a", count=0, block_ms=0)


async def test_film_is_running_while_held_and_done_when_finished(queue: JobQueue, redis_client: Redis) -> None:
    await queue.submit(make_job())
    (taken,) = await queue.take("a", count=1, block_ms=0)
    running = await queue.record(taken.job.id)
    assert (running.state, running.attempts) == (JobState.RUNNING, 1)
    assert await queue.finish(taken, scored(flagged=True), model=SCORED_BY, timings=TIMINGS)
    done = await queue.record(taken.job.id)
    assert done.state is JobState.DONE
    assert (done.probability, done.threshold, done.model) == (0.9, 0.4, SCORED_BY)
    assert done.timings_ms == TIMINGS
    assert done.done_at is not None
    statistics = await queue.statistics()
    assert (statistics.open, statistics.retrying) == (0, 0)
    assert set(statistics.depth.values()) == {0}
    assert await redis_client.hget(keys.instance(taken.job.id), "commits") == "1"
    assert await redis_client.ttl(keys.instance(taken.job.id)) > 30 * 86_400


async def test_unread_film_carries_its_reason_and_no_score(queue: JobQueue) -> None:
    await queue.submit(make_job())
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await queue.finish(taken, unread(Reason.VIEW), model=None, timings=Timings())
    record = await queue.record(taken.job.id)
    assert record.reason is Reason.VIEW
    assert record.probability is record.threshold is record.policy is record.findings is None
    assert record.timings_ms.queue is not None, "known from the clocks of submit and take"
    assert record.timings_ms.total is not None


async def test_score_without_the_model_that_made_it_is_never_written(queue: JobQueue) -> None:
    await queue.submit(make_job())
    (taken,) = await queue.take("a", count=1, block_ms=0)
    with pytest.raises(ValueError, match="names the model"):
        await queue.finish(taken, scored(flagged=False), model=None, timings=TIMINGS)
    assert (await queue.record(taken.job.id)).state is JobState.RUNNING


@pytest.mark.parametrize("damage", [{"state": "healthy"}, {"job": "{}"}, {"result": "{}"}, {"attempts": "x"}])
async def test_damaged_record_is_an_error_and_never_a_default(
    queue: JobQueue, redis_client: Redis, damage: dict[str, str]
) -> None:
    job = make_job()
    await queue.submit(job)
    await redis_client.hset(keys.instance(job.id), mapping=damage)
    with pytest.raises(RecordCorrupt):
        await queue.record(job.id)


async def test_unknown_film_is_not_found_and_left_out_of_lists(queue: JobQueue) -> None:
    job = make_job()
    await queue.submit(job)
    with pytest.raises(JobNotFound):
        await queue.record("0" * 32)
    assert [record.id for record in await queue.records(["0" * 32, job.id])] == [job.id]


@pytest.mark.parametrize(
    ("priority", "age_seconds", "overdue"),
    [("stat", 100, False), ("stat", 130, True), ("routine", 890, False), ("routine", 910, True)],
)
async def test_open_film_is_overdue_by_its_age(queue: JobQueue, priority: str, age_seconds: int, overdue: bool) -> None:
    job = make_job(priority=Priority(priority), submitted_ms=now_ms() - 1000 * age_seconds)
    assert (await queue.submit(job)).record.overdue is overdue


async def test_finished_film_is_never_overdue(queue: JobQueue) -> None:
    await queue.submit(make_job(submitted_ms=now_ms() - 10_000_000))
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await queue.finish(taken, unread(), model=None, timings=TIMINGS)
    assert not (await queue.record(taken.job.id)).overdue


async def test_statistics_name_the_oldest_open_film_of_each_priority(queue: JobQueue, redis_client: Redis) -> None:
    first, second = make_job(), make_job()
    for job in (first, second):
        await queue.submit(job)
    await backdate(redis_client, second.id, seconds=60)
    statistics = await queue.statistics()
    since = await redis_client.zscore(keys.OPEN, second.id)
    assert statistics.oldest_open_ms == {Priority.STAT: None, Priority.ROUTINE: since}
    assert statistics.open_bytes == first.payload_bytes + second.payload_bytes
    assert statistics.depth == {Priority.STAT: 0, Priority.ROUTINE: 2}
    assert statistics.open == 2


async def announce(queue: JobQueue) -> WorkerStatus:
    status = WorkerStatus(
        consumer="a",
        beat_ms=0,
        model=SCORED_BY,
        provider="cpu",
        threads=2,
        operating_point="screening",
        threshold=0.4,
        labels=("unhealthy",),
        precision="int8",
        has_heatmap=True,
        has_embedding_gate=False,
        operating_points=({"name": "screening", "threshold": 0.4},),
    )
    await queue.announce(status)
    return status


async def test_announced_worker_is_listed_until_it_falls_silent(queue: JobQueue, redis_client: Redis) -> None:
    status = await announce(queue)
    (listed,) = await queue.workers()
    assert listed.operating_points == status.operating_points
    assert listed.beat_ms > 0, "the clock of Redis, not of the worker's host"
    announced = await redis_client.hget(keys.WORKERS, "a")
    silent = f"{listed.beat_ms - 31_000}|{announced.partition('|')[2]}"
    await redis_client.hset(keys.WORKERS, "a", silent)
    assert await queue.workers() == []


@pytest.mark.parametrize("holds_a_film", [False, True])
async def test_silent_worker_is_forgotten_unless_it_holds_a_film(
    queue: JobQueue, redis_client: Redis, holds_a_film: bool
) -> None:
    await queue.submit(make_job())
    (taken,) = await queue.take("gone", count=1, block_ms=0)
    if not holds_a_film:
        await queue.release("gone", [taken])
    await redis_client.hset(keys.WORKERS, "gone", "1000|{}")
    await announce(queue)
    consumers = {
        found["name"] for found in await redis_client.xinfo_consumers(keys.queue(Priority.ROUTINE), keys.GROUP)
    }
    assert ("gone" in consumers) is holds_a_film
    assert set(await redis_client.hkeys(keys.WORKERS)) == ({"a", "gone"} if holds_a_film else {"a"})
    if holds_a_film:
        reaped = await queue.reap("b", idle_ms=0)
        assert reaped is not None
        assert reaped.job == taken.job


async def test_status_of_another_version_does_not_hide_the_readable_ones(queue: JobQueue, redis_client: Redis) -> None:
    await announce(queue)
    await redis_client.hset(keys.WORKERS, "newer", f"{now_ms()}|{{}}")
    await redis_client.hset(keys.WORKERS, "broken", "?")
    await announce(queue)
    assert [status.consumer for status in await queue.workers()] == ["a"]


async def test_events_tell_ids_and_outcomes_and_nothing_else(queue: JobQueue, redis_client: Redis) -> None:
    job = make_job()
    await queue.submit(job)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await queue.finish(taken, scored(flagged=True), model=SCORED_BY, timings=TIMINGS)
    events = [fields for _, fields in await redis_client.xrange(keys.EVENTS)]
    common = {"id": job.id, "study": job.study_uid, "site": job.site}
    assert events == [common | {"state": "queued", "outcome": ""}, common | {"state": "done", "outcome": "flagged"}]


async def test_every_key_is_one_that_keys_names(queue: JobQueue, redis_client: Redis) -> None:
    await announce(queue)
    await queue.check_durability()
    jobs = [make_job() for _ in range(3)]
    for job in jobs:
        await queue.submit(job)
    done, put_off = await queue.take("a", count=2, block_ms=0)
    await queue.finish(done, unread(Reason.RETRIES_EXHAUSTED), model=None, timings=TIMINGS)
    await queue.retry("a", put_off)
    named = {
        *(keys.OPEN, keys.RETRY, keys.DEAD, keys.EVENTS, keys.REVISION, keys.WORKERS, keys.SETTLED),
        *(keys.SHARE, keys.REPLIES, keys.PROBE, keys.SITES, keys.OPEN_BYTES, keys.OPEN_OF_SITE, keys.LEDGER_DUE),
        *(keys.queue(priority) for priority in Priority),
        *(keys.instance(job.id) for job in jobs),
        *(keys.study(job.site, job.study_uid) for job in jobs),
        *(keys.study_members(job.site, job.study_uid) for job in jobs),
        keys.waiting("default", Priority.ROUTINE),
        *(keys.worklist("default", Priority.ROUTINE, rollup) for rollup in ("pending", "not_assessed")),
    }
    assert set(await redis_client.keys("*")) <= named
