"""Open films end at their deadline: by site and priority, by two clocks, and whether or not a worker lives."""

from __future__ import annotations

from itertools import product

import pytest
from redis.asyncio import Redis

from model.errors import Reason
from services.jobs import keys
from services.jobs.limits import Deadlines
from services.jobs.queue import JobQueue
from services.jobs.records import JobState, Priority
from tests.support.jobs import make_job, now_ms
from tests.support.queue_steps import backdate, deadline
from tests.support.redis_server import EVERY_REDIS

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]


async def submit_old(queue: JobQueue, client: Redis, *, seconds: float, **job: object) -> str:
    film = make_job(submitted_ms=int(now_ms() - 1000 * seconds), **job)  # type: ignore[arg-type]  # passed on
    await queue.submit(film)
    await backdate(client, film.id, seconds=seconds)
    return film.id


@pytest.mark.parametrize(
    ("site", "priority"), list(product(["icu", "ward", "clinic"], Priority)), ids=lambda part: str(part)
)
async def test_deadline_is_that_of_site_and_priority(
    queue: JobQueue, redis_client: Redis, site: str, priority: Priority
) -> None:
    deadlines = Deadlines(
        stat_seconds=100, routine_seconds=200, of_sites={"icu": 300, "icu/stat": 400, "ward/routine": 500}
    )
    due_seconds = deadlines.of(site, priority)
    old = await submit_old(queue, redis_client, seconds=due_seconds + 20, site=site, priority=priority)
    young = await submit_old(queue, redis_client, seconds=due_seconds - 20, site=site, priority=priority)
    assert await queue.expire(deadlines) == 1
    assert (await queue.record(old)).reason is Reason.DEADLINE
    assert (await queue.record(young)).state is JobState.QUEUED


async def test_clock_of_one_host_ends_nothing_by_itself(queue: JobQueue, redis_client: Redis) -> None:
    gateway_is_behind = make_job(submitted_ms=now_ms() - 10**8)
    redis_has_jumped = make_job()
    for job in (gateway_is_behind, redis_has_jumped):
        await queue.submit(job)
    await backdate(redis_client, redis_has_jumped.id, seconds=10**5)
    assert await queue.expire(deadline(3600)) == 0


async def test_late_films_behind_many_punctual_ones_are_found(queue: JobQueue, redis_client: Redis) -> None:
    for number in range(250):
        await queue.submit(make_job(number, site="patient", submitted_ms=now_ms() - 60_000))
    late = [await submit_old(queue, redis_client, seconds=60, site="hasty") for _ in range(3)]
    await backdate(redis_client, *await redis_client.zrange(keys.OPEN, 0, -1), seconds=30)
    assert await queue.expire(Deadlines(of_sites={"hasty": 10})) == 3
    assert {(await queue.record(film_id)).reason for film_id in late} == {Reason.DEADLINE}


async def test_film_scored_again_has_its_whole_deadline_anew(queue: JobQueue, redis_client: Redis) -> None:
    film_id = await submit_old(queue, redis_client, seconds=100)
    assert await queue.expire(deadline(50)) == 1
    await queue.requeue(film_id)
    assert await queue.expire(deadline(50)) == 0
    await backdate(redis_client, film_id, seconds=60)
    assert await queue.expire(deadline(50)) == 1
    assert [film.film_id for film in await queue.dead(limit=9)] == [film_id, film_id]
