"""Queue and spool heal each other: what one lost, the other gives back; nothing is deleted that is still needed."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from model.errors import Reason
from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.limits import Deadlines
from services.jobs.queue import JobQueue, QueueLimits
from services.jobs.reconcile import UNCLAIMED_SECONDS, Retention, reconcile
from services.jobs.records import Job, JobState, Priority
from services.jobs.spool import Spool
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, now_ms, scored, unread
from tests.support.queue_steps import backdate, deadline
from tests.support.redis_server import EVERY_REDIS, RedisServer
from tests.support.spools import journal

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]

NOTHING = Retention(scored_seconds=-1, unread_seconds=-1)


def keep(
    spool: Spool,
    number: int | None = None,
    *,
    age_seconds: float = 2 * UNCLAIMED_SECONDS,
    submitted_ms: int | None = None,
) -> Job:
    """Keep a film's payload as the gateway does, that long ago."""
    job = make_job(number, submitted_ms=submitted_ms)
    upload = spool.begin()
    upload.write(b"film")
    spool.keep(upload, job)
    then = time.time() - age_seconds
    os.utime(spool.read(job), (then, then))
    return job


def kept(spool: Spool) -> set[Job]:
    return set(journal(spool))


async def test_redis_that_lost_everything_gets_every_film_back(
    queue: JobQueue, spool: Spool, redis_client: Redis
) -> None:
    jobs = [keep(spool) for _ in range(20)]
    for job in jobs:
        await queue.submit(job)
    await queue.take("a", count=5, block_ms=0)
    await redis_client.flushall()
    assert (await reconcile(queue, spool)).resubmitted == 20
    assert {taken.job for taken in await queue.take("b", count=50, block_ms=0)} == set(jobs)


async def test_old_film_that_redis_lost_is_judged_again_rather_than_ended_by_its_deadline(
    queue: JobQueue, spool: Spool
) -> None:
    job = keep(spool, submitted_ms=now_ms() - 10 * 3_600_000)
    first, second = [await reconcile(queue, spool, deadlines=Deadlines()) for _ in range(2)]
    assert (first.resubmitted, first.expired, second.expired) == (1, 0, 0)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    assert taken.job == job
    assert (await queue.record(job.id)).overdue


async def test_films_that_a_cut_append_only_file_lost_come_back_from_the_spool(
    mortal_redis_server: RedisServer, spool: Spool
) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        jobs = [keep(spool) for _ in range(50)]
        for job in jobs:
            await queue.submit(job)
        mortal_redis_server.kill()
        cut_by_a_fifth(mortal_redis_server.directory)
        mortal_redis_server.start()
        report = await reconcile(queue, spool)
        assert report.resubmitted > 0
        assert {taken.job for taken in await queue.take("a", count=100, block_ms=0)} == set(jobs)


def cut_by_a_fifth(directory: Path) -> None:
    """Lose the last fifth of the append-only file, as a power cut on a lying disk would."""
    (log,) = [*directory.glob("appendonlydir/*.incr.aof"), *directory.glob("appendonly.aof")]
    os.truncate(log, log.stat().st_size * 4 // 5)


async def test_payload_that_is_still_on_its_way_is_left_alone(queue: JobQueue, spool: Spool) -> None:
    job = keep(spool, age_seconds=0)
    assert (await reconcile(queue, spool)).resubmitted == 0
    assert kept(spool) == {job}


async def test_replay_is_not_refused_by_a_full_queue(spool: Spool, redis_client: Redis) -> None:
    full = JobQueue(redis_client, limits=QueueLimits(routine_depth=1, stat_reserve=0))
    await full.submit(make_job())
    keep(spool)
    assert (await reconcile(full, spool)).resubmitted == 1


async def test_sidecars_of_known_films_are_read_at_a_start_and_not_each_minute(
    queue: JobQueue, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    known, lost = keep(spool), keep(spool)
    await queue.submit(known)
    for job in (known, lost):
        path = spool.read(job)
        path.with_name(path.name + ".json").write_bytes(b"{")
    with caplog.at_level(logging.ERROR):
        assert (await reconcile(queue, spool)).resubmitted == 0
        assert unreadable(caplog) == {lost.payload}, "nobody but its sidecar knows what film it is"
        caplog.clear()
        await reconcile(queue, spool, is_start=True)
        assert unreadable(caplog) == {known.payload, lost.payload}
    assert set(spool.kept(older_than_seconds=-1)) == {known.payload, lost.payload}


async def test_known_film_without_any_sidecar_is_told_of_each_time(
    queue: JobQueue, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    job = keep(spool)
    await queue.submit(job)
    path = spool.read(job)
    path.with_name(path.name + ".json").unlink()
    with caplog.at_level(logging.ERROR):
        await reconcile(queue, spool, retention=NOTHING)
    assert unreadable(caplog) == {job.payload}
    assert path.exists()


def unreadable(caplog: pytest.LogCaptureFixture) -> set[str]:
    """Return the payloads of which the log says that their sidecars cannot be read."""
    return {str(record.__dict__["payload"]) for record in caplog.records if "payload" in record.__dict__}


async def test_second_payload_of_a_known_film_is_removed(queue: JobQueue, spool: Spool) -> None:
    registered, leftover = keep(spool, 1), keep(spool, 1)
    await queue.submit(registered)
    assert (await reconcile(queue, spool)).removed_payloads == 1
    assert kept(spool) == {registered}
    assert leftover.id == registered.id


@pytest.mark.parametrize(("field", "value"), [("state", "healthy"), ("outcome", "healthy"), ("done_ms", "yesterday")])
async def test_film_whose_record_is_damaged_is_left_alone_and_its_neighbours_are_not(
    queue: JobQueue, spool: Spool, redis_client: Redis, field: str, value: str
) -> None:
    damaged, lost = keep(spool), keep(spool)
    await queue.submit(damaged)
    await redis_client.hset(keys.instance(damaged.id), field, value)
    report = await reconcile(queue, spool, retention=NOTHING)
    assert (report.resubmitted, report.removed_payloads) == (1, 0)
    assert kept(spool) == {damaged, lost}
    assert (await queue.record(lost.id)).state is JobState.QUEUED


async def test_payloads_of_open_films_are_never_removed(queue: JobQueue, spool: Spool) -> None:
    jobs = {keep(spool, age_seconds=90 * 86_400) for _ in range(4)}
    for job in jobs:
        await queue.submit(job)
    held, put_off, released = await queue.take("a", count=3, block_ms=0)
    await queue.retry("a", put_off)
    await queue.release("a", [released])
    report = await reconcile(queue, spool, retention=NOTHING)
    assert (report.removed_payloads, report.requeued, report.resubmitted) == (0, 0, 0)
    assert kept(spool) == jobs
    assert held.job in jobs


@pytest.mark.parametrize("is_scored", [True, False])
async def test_payload_is_removed_when_its_retention_is_over_and_its_record_stays(
    queue: JobQueue, spool: Spool, is_scored: bool
) -> None:
    job = keep(spool)
    await queue.submit(job)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    decision = scored(flagged=True) if is_scored else unread()
    await queue.finish(taken, decision, model=SCORED_BY if is_scored else None, timings=TIMINGS)
    longer_than_the_other = Retention(scored_seconds=60 if is_scored else -1, unread_seconds=-1 if is_scored else 60)
    assert (await reconcile(queue, spool, retention=longer_than_the_other)).removed_payloads == 0
    assert (await reconcile(queue, spool, retention=NOTHING)).removed_payloads == 1
    assert kept(spool) == set()
    assert (await queue.record(job.id)).state is JobState.DONE


async def test_film_sent_again_after_retention_keeps_its_record(queue: JobQueue, spool: Spool) -> None:
    first = keep(spool, 7)
    await queue.submit(first)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await queue.finish(taken, unread(), model=None, timings=TIMINGS)
    await reconcile(queue, spool, retention=NOTHING)
    again = await queue.submit(keep(spool, 7))
    assert not again.is_new
    assert again.record.reason is Reason.BLANK


async def test_payload_of_an_open_film_cannot_be_forgotten(queue: JobQueue) -> None:
    job = make_job()
    await queue.submit(job)
    assert not await queue.forget_payload(job.id, job.payload)
    assert (await queue.submit(job)).is_new


async def test_removal_that_was_interrupted_is_completed(queue: JobQueue, spool: Spool) -> None:
    job = keep(spool)
    await queue.submit(job)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await queue.finish(taken, unread(), model=None, timings=TIMINGS)
    assert await queue.forget_payload(job.id, job.payload)
    assert (await reconcile(queue, spool)).removed_payloads == 1
    assert kept(spool) == set()


async def test_films_past_their_deadline_end_when_asked(queue: JobQueue, spool: Spool, redis_client: Redis) -> None:
    job = make_job(submitted_ms=now_ms() - 10_000)
    await queue.submit(job)
    await backdate(redis_client, job.id, seconds=10)
    assert (await reconcile(queue, spool)).expired == 0
    assert (await reconcile(queue, spool, deadlines=deadline(5.0))).expired == 1
    assert (await queue.record(job.id)).reason is Reason.DEADLINE


async def test_many_pages_of_films_are_compared(queue: JobQueue, spool: Spool, redis_client: Redis) -> None:
    pipe = redis_client.pipeline(transaction=False)
    for number in range(1100):
        job = make_job(number)
        pipe.zadd(keys.OPEN, {job.id: number})
        fields = {"state": "running", "priority": "routine", "site": job.site, "study": job.study_uid, "mid": "1-1"}
        pipe.hset(keys.instance(job.id), mapping=fields | {"crashes": 0, "tries": 0, "submitted_ms": number})
    await pipe.execute()
    assert (await reconcile(queue, spool)).requeued == 1100
    assert await redis_client.xlen(keys.queue(Priority.ROUTINE)) == 1100
