"""Steps that many tests of the queue take: take one film, finish it, look that nothing of it is left."""

from __future__ import annotations

from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.limits import Deadlines
from services.jobs.queue import JobQueue
from services.jobs.records import Priority, TakenJob
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, scored

ROUTINE = keys.queue(Priority.ROUTINE)
LONG_MS = 3_600_000  # longer than any film of a test is idle, unless it was put aside


async def take_one(queue: JobQueue, consumer: str = "a") -> TakenJob:
    """Submit a new routine film and take it."""
    await queue.submit(make_job())
    (taken,) = await queue.take(consumer, count=1, block_ms=0)
    return taken


async def backdate(client: Redis, *film_ids: str, seconds: float) -> None:
    """Let Redis think that open films are open for so much longer; submit them with an old ``submitted_ms``, too."""
    for film_id in film_ids:
        await client.zincrby(keys.OPEN, -1000 * seconds, film_id)


def deadline(seconds: float) -> Deadlines:
    """Return one deadline for everybody."""
    return Deadlines(stat_seconds=seconds, routine_seconds=seconds)


async def finish(queue: JobQueue, taken: TakenJob, *, flagged: bool = False) -> bool:
    return await queue.finish(taken, scored(flagged=flagged), model=SCORED_BY, timings=TIMINGS)


async def assert_nothing_is_left(client: Redis) -> None:
    assert await client.xlen(keys.queue(Priority.STAT)) == await client.xlen(ROUTINE) == 0
    assert (await client.xpending(ROUTINE, keys.GROUP))["pending"] == 0
    assert await client.zcard(keys.OPEN) == await client.zcard(keys.RETRY) == 0
