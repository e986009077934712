"""Every film that ends reaches the audit trail, whatever ended it and whatever fails meanwhile."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from model.errors import Reason
from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.errors import LedgerUnavailable
from services.jobs.ledger.heads import Heads
from services.jobs.ledger.outbox import LedgerOutbox
from services.jobs.ledger.trail import AuditTrail
from services.jobs.ledger.verify import verify
from services.jobs.limits import Deadlines
from services.jobs.queue import JobQueue
from services.jobs.records import Claims
from tests.support.jobs import TIMINGS, make_job, now_ms, unread
from tests.support.ledger import lines_of
from tests.support.queue_steps import backdate, finish, take_one
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[AuditTrail]:
    trail = AuditTrail(tmp_path / "audit", "worker")
    trail.start()
    yield trail
    trail.close()


@pytest.fixture
def outbox(redis_client: Redis, trail: AuditTrail) -> LedgerOutbox:
    return LedgerOutbox(redis_client, trail)


def entries(trail: AuditTrail, event: str = "finished") -> list[dict[str, Any]]:
    (path,) = trail.directory.glob("*.jsonl")
    return [entry for entry in map(json.loads, lines_of(path)) if entry["event"] == event]


async def test_every_finished_film_is_written_once_with_what_restores_it(
    queue: JobQueue, outbox: LedgerOutbox, trail: AuditTrail, redis_client: Redis
) -> None:
    films = [await take_one(queue) for _ in range(3)]
    for film in films:
        await finish(queue, film, flagged=True)
    assert await outbox.drain() == 3
    assert await outbox.drain() == 0
    assert await redis_client.zcard(keys.LEDGER_DUE) == 0
    written = entries(trail)
    assert {entry["film"] for entry in written} == {film.job.id for film in films}
    assert {entry["outcome"] for entry in written} == {"flagged"}
    assert written[0]["dicom"] == "110105"


async def test_redis_knows_the_last_entry_as_soon_as_films_are_off_the_outbox(
    queue: JobQueue, outbox: LedgerOutbox, trail: AuditTrail, redis_client: Redis
) -> None:
    await finish(queue, await take_one(queue))
    await outbox.drain()
    heads = await Heads(redis_client).known()
    assert trail.position is not None
    assert heads == {trail.position[0]: trail.position[1]}
    assert verify(trail.directory, heads).is_sound


async def test_film_that_no_worker_ended_is_written_too(
    queue: JobQueue, outbox: LedgerOutbox, trail: AuditTrail, redis_client: Redis
) -> None:
    job = make_job(submitted_ms=now_ms() - 60_000)
    await queue.submit(job)
    await backdate(redis_client, job.id, seconds=60)
    assert await queue.expire(Deadlines(stat_seconds=5, routine_seconds=5)) == 1
    await outbox.drain()
    assert [(entry["film"], entry["code"]) for entry in entries(trail)] == [(job.id, "deadline")]


async def test_decision_that_was_replaced_before_it_was_written_is_written_before_the_new_one(
    queue: JobQueue, outbox: LedgerOutbox, trail: AuditTrail
) -> None:
    first = await take_one(queue)
    await finish(queue, first, flagged=True)
    await queue.rescore(first.job.id)
    assert await outbox.drain() == 1
    (second,) = await queue.take("a", count=1, block_ms=0)
    await finish(queue, second)
    await outbox.drain()
    assert [entry["outcome"] for entry in entries(trail)] == ["flagged", "not_flagged"]


async def test_what_the_caller_said_of_the_patient_is_not_written(
    queue: JobQueue, outbox: LedgerOutbox, trail: AuditTrail
) -> None:
    job = replace(make_job(), claims=Claims(view="ZZCANARY", age_years=77.5, sex="ZZSEX"))
    await queue.submit(job)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await finish(queue, taken)
    await outbox.drain()
    (path,) = trail.directory.glob("*.jsonl")
    content = path.read_bytes()
    assert job.id.encode() in content
    assert not any(word in content for word in (b"ZZCANARY", b"77.5", b"ZZSEX", b"claims"))


async def test_bytes_that_changed_in_the_spool_are_an_alert(
    queue: JobQueue, outbox: LedgerOutbox, trail: AuditTrail
) -> None:
    film = await take_one(queue)
    await queue.finish(film, unread(Reason.PAYLOAD_DIGEST), model=None, timings=TIMINGS)
    await outbox.drain()
    (alert,) = entries(trail, "alert")
    assert (alert["film"], alert["code"], alert["success"]) == (film.job.id, "payload_digest", False)


async def test_decision_is_owed_since_it_was_made_however_often_it_was_tried(
    queue: JobQueue, redis_client: Redis, tmp_path: Path
) -> None:
    audit = tmp_path / "audit"
    audit.write_text("a file where the directory should be")
    trail = AuditTrail(audit, "worker")
    trail.start()
    film = await take_one(queue)
    await finish(queue, film)
    made_ms = int(await redis_client.hget(keys.instance(film.job.id), "done_ms"))
    with pytest.raises(LedgerUnavailable):
        await LedgerOutbox(redis_client, trail).drain()
    assert await redis_client.zscore(keys.LEDGER_DUE, film.job.id) > made_ms
    assert (await queue.statistics()).oldest_ledger_due_ms == made_ms
    await queue.rescore(film.job.id)
    assert (await queue.statistics()).oldest_ledger_due_ms == made_ms
    trail.close()


async def test_films_wait_in_redis_while_the_disk_takes_nothing(
    queue: JobQueue, redis_client: Redis, tmp_path: Path
) -> None:
    audit = tmp_path / "audit"
    audit.write_text("a file where the directory should be")
    trail = AuditTrail(audit, "worker")
    trail.start()
    outbox = LedgerOutbox(redis_client, trail, lease_ms=0)
    film = await take_one(queue)
    assert await finish(queue, film)
    with pytest.raises(LedgerUnavailable):
        await outbox.drain()
    assert not trail.is_writable
    audit.unlink()
    assert await outbox.drain() == 1
    trail.close()
    assert [entry["film"] for entry in entries(trail)] == [film.job.id]


async def test_worker_that_died_between_lease_and_disk_loses_nothing(
    queue: JobQueue, redis_client: Redis, trail: AuditTrail
) -> None:
    closed = AuditTrail(trail.directory / "elsewhere", "worker")
    film = await take_one(queue)
    await finish(queue, film)
    with pytest.raises(LedgerUnavailable):
        await LedgerOutbox(redis_client, closed, lease_ms=0).drain()
    assert await LedgerOutbox(redis_client, trail).drain() == 1


async def test_redis_out_of_memory_keeps_no_film_out_of_the_trail(
    mortal_redis_server: RedisServer, trail: AuditTrail
) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        films = [await take_one(queue) for _ in range(3)]
        for film in films:
            await finish(queue, film)
        await client.config_set("maxmemory", 1)
        assert await LedgerOutbox(client, trail).drain() == 3
        assert await client.zcard(keys.LEDGER_DUE) == 0
        assert len(await Heads(client).known()) == 1


async def test_damaged_film_is_written_without_its_decision_and_keeps_no_other_out(
    queue: JobQueue, outbox: LedgerOutbox, trail: AuditTrail, redis_client: Redis
) -> None:
    damaged, whole = [await take_one(queue) for _ in range(2)]
    await finish(queue, damaged)
    await finish(queue, whole)
    await redis_client.hset(keys.instance(damaged.job.id), "result", "{")
    assert await outbox.drain() == 2
    assert {entry["film"]: entry.get("code") for entry in entries(trail)} == {
        damaged.job.id: "record_corrupt",
        whole.job.id: None,
    }


async def test_clock_of_redis_that_went_back_holds_nothing_up(
    queue: JobQueue, outbox: LedgerOutbox, redis_client: Redis
) -> None:
    film = await take_one(queue)
    await finish(queue, film)
    await redis_client.zadd(keys.LEDGER_DUE, {film.job.id: now_ms() + 7_200_000})
    assert await outbox.drain() == 1
