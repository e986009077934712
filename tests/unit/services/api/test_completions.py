"""Who waits for a film is told as soon as its end is heard, whenever that was; Redis is asked no oftener than so."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from services.api.changes import Change
from services.api.completions import Completions
from services.jobs.queue import JobQueue
from services.jobs.records import JobState, Record
from tests.support.jobs import make_job
from tests.support.queue_steps import finish, take_one

PATIENCE_SECONDS = 60.0


class Asked(JobQueue):
    """The real queue, which counts how often a record is asked for."""

    times = 0

    async def record(self, film_id: str) -> Record:
        self.times += 1
        return await super().record(film_id)


@pytest.fixture
def queue(redis_client: Redis) -> Asked:
    return Asked(redis_client)


def end_of(record: Record) -> Change:
    facts = {"study_uid": record.study_uid, "site": record.site, "outcome": "not_flagged"}
    return Change(entry="1-1", film_id=record.id, state="done", **facts)


async def outcome(waiting: asyncio.Task[Record]) -> Record:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await waiting


async def test_film_is_read_once_when_its_end_is_heard(queue: Asked) -> None:
    ended: list[None] = []
    completions = Completions(queue, on_done=lambda: ended.append(None))
    taken = await take_one(queue)
    record = await queue.record(taken.job.id)
    waiting = asyncio.create_task(completions.wait(record, PATIENCE_SECONDS))
    await asyncio.sleep(0)
    await finish(queue, taken)
    completions.hear(end_of(record))
    assert (await outcome(waiting)).state is JobState.DONE
    assert (queue.times, len(ended)) == (2, 1)


async def test_who_comes_after_the_end_was_heard_does_not_wait_for_it(queue: Asked) -> None:
    completions = Completions(queue, on_done=lambda: None)
    taken = await take_one(queue)
    record = await queue.record(taken.job.id)
    await finish(queue, taken)
    completions.hear(end_of(record))
    assert (await completions.wait(record, PATIENCE_SECONDS)).state is JobState.DONE
    assert queue.times == 2


async def test_end_that_nobody_heard_is_found_all_the_same(queue: Asked) -> None:
    completions = Completions(queue, on_done=lambda: None)
    taken = await take_one(queue)
    record = await queue.record(taken.job.id)
    waiting = asyncio.create_task(completions.wait(record, PATIENCE_SECONDS))
    await finish(queue, taken)
    assert (await outcome(waiting)).state is JobState.DONE


async def test_who_waits_is_answered_with_what_is_known_when_the_process_stops(queue: Asked) -> None:
    completions = Completions(queue, on_done=lambda: None)
    await queue.submit(job := make_job())
    record = await queue.record(job.id)
    waiting = asyncio.create_task(completions.wait(record, PATIENCE_SECONDS))
    await asyncio.sleep(0)
    completions.stop_waiting()
    assert (await outcome(waiting)).state is JobState.QUEUED
    assert (await completions.wait(record, PATIENCE_SECONDS)).state is JobState.QUEUED
