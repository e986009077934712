"""Waiting for films to end, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from services.jobs.queue import JobQueue
from services.jobs.records import Job, JobState, Record

WAIT_SECONDS = 40.0


async def all_done(queue: JobQueue, jobs: Iterable[Job], *, seconds: float = WAIT_SECONDS) -> dict[str, Record]:
    """Wait until every film has its outcome; return the records by id."""
    film_ids = [job.id for job in jobs]
    deadline = time.monotonic() + seconds
    while True:
        records = await queue.records(film_ids)
        if len(records) == len(film_ids) and all(record.state is JobState.DONE for record in records):
            return {record.id: record for record in records}
        states = [str(record.state) for record in records]
        assert time.monotonic() < deadline, {state: states.count(state) for state in states}
        await asyncio.sleep(0.05)


async def eventually(condition: Callable[[], bool], *, seconds: float = WAIT_SECONDS) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def attempted(queue: JobQueue, job: Job, *, times: int, seconds: float = WAIT_SECONDS) -> None:
    """Wait until a worker has taken the film for so many times."""
    deadline = time.monotonic() + seconds
    while (record := await queue.record(job.id)).attempts < times:
        assert time.monotonic() < deadline, record.attempts
        await asyncio.sleep(0.01)
