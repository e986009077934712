"""The gateway alone: with every worker dead films still end, and what Redis forgot is given back before it is ready."""

from __future__ import annotations

import os
import time
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from model.errors import Reason
from services.api.errors import NotReconciled
from services.api.readiness import Readiness
from services.api.upkeep import GatewayUpkeep
from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.limits import Deadlines
from services.jobs.queue import JobQueue
from services.jobs.reconcile import UNCLAIMED_SECONDS, reconcile
from services.jobs.records import JobState
from services.jobs.settings import RedisSettings
from services.jobs.spool import Spool
from services.jobs.status import WorkerStatus
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.jobs import SCORED_BY, make_job, now_ms
from tests.support.queue_steps import backdate
from tests.support.redis_server import EVERY_REDIS, RedisServer
from tests.support.spools import journal
from tests.support.submission import keep_film

SHORT = Deadlines(stat_seconds=5.0, routine_seconds=5.0)
WORKER = WorkerStatus(
    consumer="w",
    beat_ms=0,
    model=SCORED_BY,
    provider="cpu",
    threads=1,
    operating_point="f3",
    threshold=0.4,
    labels=(),
    operating_points=(),
)


class Comparing:
    """Reconciles, and counts how often; ``lasting_seconds`` is how long it seems to take by its own clock."""

    def __init__(self, queue: JobQueue, spool: Spool, *, lasting_seconds: float = 0.0) -> None:
        self._queue = queue
        self._spool = spool
        self._lasting_seconds = lasting_seconds
        self.seconds = 0.0
        self.times = 0

    def clock(self) -> float:
        return self.seconds

    async def __call__(self) -> None:
        self.times += 1
        self.seconds += self._lasting_seconds
        await reconcile(self._queue, self._spool)


def age(spool: Spool, *, seconds: float = 2 * UNCLAIMED_SECONDS) -> None:
    """Make every payload look as if it were kept that long ago."""
    then = time.time() - seconds
    for job in journal(spool):
        os.utime(spool.read(job), (then, then))


def upkeep_of(queue: JobQueue, compare: Comparing) -> GatewayUpkeep:
    return GatewayUpkeep(queue, deadlines=SHORT, compare=compare, every_seconds=60.0, clock=compare.clock)


# -- while no worker lives -----------------------------------------------------------------------------------------


async def test_film_past_its_deadline_ends_without_any_worker(
    queue: JobQueue, spool: Spool, redis_client: Redis
) -> None:
    job = make_job(submitted_ms=now_ms() - 10_000)
    await queue.submit(job)
    await backdate(redis_client, job.id, seconds=10)
    await upkeep_of(queue, Comparing(queue, spool)).go_round()
    record = await queue.record(job.id)
    assert (record.state, record.reason) == (JobState.DONE, Reason.DEADLINE)


async def test_films_that_an_older_worker_ended_use_up_nobodys_room(
    queue: JobQueue, spool: Spool, redis_client: Redis
) -> None:
    ended, waiting = make_job(), make_job()
    for job in (ended, waiting):
        await queue.submit(job)
    await queue.announce(WORKER)  # it reconciles, but has never heard of the counters
    await redis_client.zrem(keys.OPEN, ended.id)
    await upkeep_of(queue, Comparing(queue, spool)).go_round()
    assert await redis_client.hgetall(keys.OPEN_OF_SITE) == {"default": "1"}
    assert await redis_client.get(keys.OPEN_BYTES) == str(waiting.payload_bytes)


async def test_payload_whose_submit_was_lost_is_queued_without_any_worker(queue: JobQueue, spool: Spool) -> None:
    job = keep_film(spool, png_film(seed=1))
    age(spool)
    await upkeep_of(queue, Comparing(queue, spool)).go_round()
    assert (await queue.record(job.id)).state is JobState.QUEUED


async def test_comparing_is_left_to_workers_where_one_lives(queue: JobQueue, spool: Spool) -> None:
    compare = Comparing(queue, spool)
    await queue.announce(WORKER)
    await upkeep_of(queue, compare).go_round()
    assert compare.times == 0


async def test_comparing_a_large_spool_takes_a_small_part_of_the_time(queue: JobQueue, spool: Spool) -> None:
    compare = Comparing(queue, spool, lasting_seconds=30.0)
    upkeep = upkeep_of(queue, compare)
    for _ in range(20):  # a round a minute
        await upkeep.go_round()
        compare.seconds += 60.0
    assert compare.times == 2


def test_film_of_a_gateway_without_workers_ends_by_its_deadline(redis_server: RedisServer, tmp_path: Path) -> None:
    impatient = {"api_upkeep_seconds": 0.2, "queue_deadline_routine_seconds": 1.0}
    with GatewayProcess(tmp_path, redis_url=redis_server.url, **impatient) as gateway:
        gateway.wait_ready()
        with gateway.client() as client:
            png = {"Content-Type": "image/png"}
            link = client.post("/v1/instances", content=png_film(seed=2), headers=png).json()["links"]["self"]
            wait_until(lambda: client.get(link).json()["state"] == "done", what="the deadline")
            record = client.get(link).json()
    assert (record["outcome"], record["reason"], record["probability"]) == ("not_assessed", "deadline", None)


def test_several_gateways_may_all_do_it(redis_server: RedisServer, tmp_path: Path) -> None:
    impatient = {"api_upkeep_seconds": 0.2, "queue_deadline_routine_seconds": 1.0}
    png = {"Content-Type": "image/png"}
    with (
        GatewayProcess(tmp_path, redis_url=redis_server.url, **impatient) as one,
        GatewayProcess(tmp_path, redis_url=redis_server.url, **impatient) as other,
    ):
        one.wait_ready()
        other.wait_ready()
        with one.client() as client, other.client() as elsewhere:
            sent = [client.post("/v1/instances", content=png_film(seed=seed), headers=png) for seed in range(10, 20)]
            links = [answer.json()["links"]["self"] for answer in sent]
            wait_until(lambda: all(elsewhere.get(link).json()["state"] == "done" for link in links), what="all ends")
    with redis_server.client() as redis:
        commits = [redis.hget(f"{{cxr}}:s:{link.rpartition('/')[2]}", "commits") for link in links]
    assert commits == ["1"] * len(links)


# -- a Redis that forgot -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
async def test_emptied_redis_is_not_ready_until_it_has_its_films_back(
    mortal_redis_server: RedisServer, spool: Spool
) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        readiness = Readiness(queue, spool, compare=Comparing(queue, spool))
        await readiness.look()
        await readiness.check()
        job = keep_film(spool, png_film(seed=3))
        await queue.submit(job)
        age(spool)
        await client.flushall()
        with pytest.raises(NotReconciled):
            await readiness.check()
        await readiness.look()
        await readiness.check()
        assert (await queue.record(job.id)).state is JobState.QUEUED


@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
async def test_restarted_redis_is_compared_again_before_it_is_ready(
    mortal_redis_server: RedisServer, spool: Spool
) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        compare = Comparing(queue, spool)
        readiness = Readiness(queue, spool, compare=compare)
        await readiness.look()
        mortal_redis_server.kill()
        mortal_redis_server.start()
        with pytest.raises(NotReconciled):
            await readiness.check()
        await readiness.look()
        await readiness.check()
        assert compare.times == 2


async def test_payload_too_young_to_be_judged_is_looked_at_once_more(queue: JobQueue, spool: Spool) -> None:
    compare = Comparing(queue, spool)
    readiness = Readiness(queue, spool, compare=compare, clock=compare.clock)
    job = keep_film(spool, png_film(seed=4))
    await readiness.look()
    assert await queue.records([job.id]) == [], "its submit could still be on its way"
    age(spool)
    await readiness.look()
    assert compare.times == 1
    compare.seconds += UNCLAIMED_SECONDS
    await readiness.look()
    await readiness.look()
    assert compare.times == 2
    assert (await queue.record(job.id)).state is JobState.QUEUED


async def test_every_replica_notices_that_redis_forgot(queue: JobQueue, spool: Spool, redis_client: Redis) -> None:
    replicas = [Readiness(queue, spool, compare=Comparing(queue, spool)) for _ in range(3)]
    for replica in replicas:
        await replica.look()
        await replica.check()
    await redis_client.flushall()
    for replica in replicas:
        with pytest.raises(NotReconciled):
            await replica.check()
        await replica.look()
    for replica in replicas:
        await replica.check()


async def test_user_without_configuration_rights_is_ready(mortal_redis_server: RedisServer, spool: Spool) -> None:
    async with connect_gateway(mortal_redis_server.settings) as admin:
        await admin.execute_command("ACL", "SETUSER", "api", "on", ">secret", "~{cxr}:*", "+@all", "-config")
    url = mortal_redis_server.url.replace("unix://", "unix://api:secret@")
    async with connect_gateway(RedisSettings.model_validate({"url": url})) as client:
        queue = JobQueue(client)
        readiness = Readiness(queue, spool, compare=Comparing(queue, spool))
        await readiness.look()
        await readiness.check()


def test_gateway_is_ready_again_by_itself_after_each_trouble(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url) as gateway, gateway.client() as client:
        gateway.wait_ready()
        with mortal_redis_server.client() as redis:
            redis.config_set("maxmemory-policy", "allkeys-lru")
            assert code_of(client.get("/health/ready")) == "queue_unsafe"
            redis.config_set("maxmemory-policy", "noeviction")
            gateway.wait_ready()
            # Without scripts nothing can be compared, however soon the gateway notices.
            redis.execute_command("ACL", "SETUSER", "default", "-@scripting")
            redis.flushall()
            assert code_of(client.get("/health/ready")) == "not_reconciled"
            redis.execute_command("ACL", "SETUSER", "default", "+@scripting")
            gateway.wait_ready()
        mortal_redis_server.kill()
        assert code_of(client.get("/health/ready")) == "queue_unavailable"
        mortal_redis_server.start()
        gateway.wait_ready()


def code_of(response: httpx.Response) -> str:
    assert response.status_code == 503, response.text
    return str(response.json()["code"])
