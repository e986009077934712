"""What may come in: bounds on films, bytes and one site's share, exact whoever submits at once, and never wedged."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.errors import QueueFull, QueueUnavailable, SiteShareUsed
from services.jobs.queue import JobQueue, QueueLimits
from services.jobs.records import Job, Priority
from tests.support.jobs import make_job, now_ms
from tests.support.queue_steps import backdate, deadline, finish, take_one
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]


def film_of(payload_bytes: int) -> Job:
    return replace(make_job(), payload_bytes=payload_bytes)


async def assert_counters_are_true(client: Redis) -> None:
    """The counters of open films are what the open films amount to."""
    films = [await client.hgetall(keys.instance(film_id)) for film_id in await client.zrange(keys.OPEN, 0, -1)]
    assert int(await client.get(keys.OPEN_BYTES) or 0) == sum(int(film.get("bytes", 0)) for film in films)
    sites = [film["site"] for film in films]
    assert await client.hgetall(keys.OPEN_OF_SITE) == {site: str(sites.count(site)) for site in sites}


# -- bytes -------------------------------------------------------------------------------------------------------------
async def test_film_beyond_the_bytes_of_open_films_is_refused_whole(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(open_bytes=100))
    await queue.submit(film_of(60))
    names_before = set(await redis_client.keys("*"))
    for limited in (queue.submit(film_of(41)), room_for(queue, payload_bytes=41)):
        with pytest.raises(QueueFull):
            await limited
    assert set(await redis_client.keys("*")) == names_before
    await room_for(queue, payload_bytes=40)
    await queue.submit(film_of(40))
    await assert_counters_are_true(redis_client)


async def test_bytes_are_free_again_however_a_film_ends(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(open_bytes=100))
    for _ in range(2):
        await queue.submit(replace(film_of(50), submitted_ms=now_ms() - 10_000))
    (taken,) = await queue.take("a", count=1, block_ms=0)
    assert await finish(queue, taken)
    await backdate(redis_client, *await redis_client.zrange(keys.OPEN, 0, -1), seconds=10)
    assert await queue.expire(deadline(1)) == 1
    assert not await redis_client.exists(keys.OPEN_BYTES, keys.OPEN_OF_SITE)
    await queue.submit(film_of(100))


async def test_result_that_comes_twice_frees_bytes_once(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue)
    await queue.submit(make_job())
    assert await finish(queue, taken)
    assert await finish(queue, taken)
    await assert_counters_are_true(redis_client)


async def test_bounds_are_exact_when_many_submit_at_once(redis_server: RedisServer) -> None:
    limits = QueueLimits(routine_depth=1000, open_bytes=100)
    async with connect_gateway(redis_server.settings) as one, connect_gateway(redis_server.settings) as other:
        queues = [JobQueue(client, limits=limits) for client in (one, other)]
        answers = await asyncio.gather(
            *(queues[number % 2].submit(film_of(10)) for number in range(40)), return_exceptions=True
        )
        assert sum(isinstance(answer, QueueFull) for answer in answers) == 30
        assert sum(not isinstance(answer, BaseException) for answer in answers) == 10
        await assert_counters_are_true(one)


# -- looked up before anything is made durable -------------------------------------------------------------------------
async def test_film_is_looked_up_as_a_submit_would_answer_and_nothing_is_written(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(open_bytes=100, routine_depth=4, stat_reserve=0, site_share=0.5))
    known = replace(film_of(60), site="north")
    await queue.submit(known)
    names_before = set(await redis_client.keys("*"))
    found = await queue.look_up(replace(known, payload="0" * 32 + "." + "1" * 32))
    assert found == await queue.record(known.id)
    assert await queue.look_up(film_of(40)) is None
    with pytest.raises(QueueFull):
        await queue.look_up(film_of(41))
    assert set(await redis_client.keys("*")) == names_before


async def test_film_is_known_also_where_another_one_had_no_room(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(routine_depth=2, stat_reserve=0, site_share=0.5))
    known = make_job(site="north")
    await queue.submit(known)
    await queue.submit(make_job(site="south"))
    with pytest.raises(QueueFull):
        await queue.look_up(make_job(site="north"))
    assert await queue.look_up(known) is not None
    roomier = JobQueue(redis_client, limits=QueueLimits(routine_depth=3, stat_reserve=0, site_share=0.4))
    with pytest.raises(SiteShareUsed):
        await roomier.look_up(make_job(site="north"))


# -- one site's share --------------------------------------------------------------------------------------------------
async def test_only_site_may_fill_the_whole_backlog(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(routine_depth=4, stat_reserve=0, site_share=0.5))
    for _ in range(4):
        await queue.submit(make_job(site="north"))
    with pytest.raises(QueueFull):
        await queue.submit(make_job(site="north"))


async def test_one_of_several_sites_is_refused_beyond_its_share_and_others_are_not(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(routine_depth=4, stat_reserve=2, site_share=0.5))
    await queue.submit(make_job(site="south"))
    for _ in range(2):
        await queue.submit(make_job(site="north"))
    for limited in (queue.submit(make_job(site="north")), room_for(queue, site="north")):
        with pytest.raises(SiteShareUsed):
            await limited
    await room_for(queue, site="south")
    await queue.submit(make_job(site="north", priority=Priority.STAT))
    await assert_counters_are_true(redis_client)


async def test_site_that_submits_for_the_first_time_makes_the_share_count(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(routine_depth=8, stat_reserve=0, site_share=0.25))
    for _ in range(4):
        await queue.submit(make_job(site="north"))
    await queue.submit(make_job(site="south"))
    with pytest.raises(SiteShareUsed):
        await queue.submit(make_job(site="north"))


async def test_share_is_free_again_when_films_end(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(routine_depth=2, stat_reserve=0, site_share=0.5))
    await queue.submit(make_job(site="north"))
    await redis_client.sadd(keys.SITES, "south")
    with pytest.raises(SiteShareUsed):
        await queue.submit(make_job(site="north"))
    (taken,) = await queue.take("a", count=1, block_ms=0)
    assert await finish(queue, taken)
    await queue.submit(make_job(site="north"))


# -- never wedged ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("drift", [10**12, -(10**12)])
async def test_counters_that_drifted_are_healed_by_reconcile(redis_client: Redis, drift: int) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(open_bytes=10**6))
    for site in ("north", "south"):
        await queue.submit(make_job(site=site))
    await redis_client.incrby(keys.OPEN_BYTES, drift)
    await redis_client.hincrby(keys.OPEN_OF_SITE, "north", drift)
    await redis_client.hset(keys.OPEN_OF_SITE, "gone", "7")
    await queue.reconcile()
    await assert_counters_are_true(redis_client)
    await queue.submit(make_job(site="north"))


async def test_films_that_an_older_version_submitted_count_for_no_bytes(queue: JobQueue, redis_client: Redis) -> None:
    old, new = make_job(), make_job()
    await queue.submit(old)
    await redis_client.hdel(keys.instance(old.id), "bytes", "counted", "run")
    await redis_client.delete(keys.OPEN_BYTES, keys.OPEN_OF_SITE)
    await queue.submit(new)
    for taken in await queue.take("a", count=2, block_ms=0):
        assert await finish(queue, taken)
    assert not await redis_client.exists(keys.OPEN_BYTES, keys.OPEN_OF_SITE)


async def test_open_film_whose_record_is_lost_is_open_no_longer(queue: JobQueue, redis_client: Redis) -> None:
    job = make_job()
    await queue.submit(job)
    await redis_client.delete(keys.instance(job.id))
    await queue.reconcile()
    assert (await queue.statistics()).open == 0
    await assert_counters_are_true(redis_client)
    assert (await queue.resubmit(job)).is_new
    assert [taken.job for taken in await queue.take("a", count=8, block_ms=0)] == [job]


async def test_redis_out_of_memory_refuses_without_a_trace_in_the_counters(mortal_redis_server: RedisServer) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        taken = await take_one(queue)
        await queue.submit(make_job())
        await client.config_set("maxmemory", "1")
        with pytest.raises(QueueUnavailable):
            await queue.submit(make_job())
        await assert_counters_are_true(client)
        assert await finish(queue, taken)
        await queue.reconcile()
        await assert_counters_are_true(client)


async def room_for(queue: JobQueue, *, site: str = "default", payload_bytes: int = 0) -> None:
    await queue.check_room(priority=Priority.ROUTINE, site=site, payload_bytes=payload_bytes)
