"""The same object by any way is one film; with other pixels, or seen otherwise, it is another one that says so."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.connection import connect_gateway, connect_worker
from services.jobs.errors import QueueFull, SiblingUnseen
from services.jobs.ingest import Placement, ingest, read_job, warn_of_revision
from services.jobs.ledger.entries import AuditEvent
from services.jobs.ledger.outbox import LedgerOutbox
from services.jobs.ledger.restore import LedgerReader
from services.jobs.ledger.trail import AuditTrail
from services.jobs.queue import JobQueue, QueueLimits, Sibling, Submission
from services.jobs.reconcile import UNCLAIMED_SECONDS, reconcile
from services.jobs.records import JobState, Priority, Record
from services.jobs.settings import RedisSettings
from services.jobs.spool import Spool
from tests.support.films import EXPLICIT, IMPLICIT, JPEG_LOSSLESS_SV1, Gray, dicom_film, phantom_pixels, png_film
from tests.support.jobs import make_job
from tests.support.ledger import entries_in
from tests.support.lossy_proxy import LossyProxy, lossy_proxy
from tests.support.queue_steps import finish
from tests.support.redis_server import EVERY_REDIS, RedisServer
from tests.support.spools import journal

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]

UID = "1.2.3.4"


def film(pixels: Gray | None = None, *, transfer_syntax: str = EXPLICIT, **attributes: Any) -> bytes:
    """Return one object, whatever its pixels are, as one of its senders writes it."""
    same: dict[str, Any] = {"SOPInstanceUID": UID, "StudyInstanceUID": "1.2.3"}
    return dicom_film(pixels, transfer_syntax=transfer_syntax, **(same | attributes))


def other_pixels(number: int = 1) -> Gray:
    return phantom_pixels(number)


async def send(queue: JobQueue, spool: Spool, payload: bytes, *, site: str = "default") -> Submission:
    """Receive a payload as every listener does."""
    upload = spool.begin()
    try:
        upload.write(payload)
        job = read_job(upload, None, Placement(site=site, priority=Priority.ROUTINE))
        return await ingest(upload, job, spool=spool, queue=queue)
    finally:
        upload.discard()


async def end_all(queue: JobQueue) -> None:
    for taken in await queue.take("a", count=100, block_ms=0):
        await finish(queue, taken)


def age(spool: Spool) -> None:
    """Make every payload old enough for reconcile."""
    then = time.time() - 2 * UNCLAIMED_SECONDS
    for job in journal(spool):
        os.utime(spool.read(job), (then, then))


async def films_of_object(client: Redis) -> list[str]:
    """Return the ids of the object's films, the newest first."""
    return [str(film_id) for film_id in await client.zrevrange(keys.sop("default", UID), 0, -1)]


# -- the same film -----------------------------------------------------------------------------------------------------
async def test_same_object_in_another_encoding_is_the_film_that_is_there(
    queue: JobQueue, spool: Spool, redis_client: Redis
) -> None:
    first = await send(queue, spool, film())
    again = await send(queue, spool, film(transfer_syntax=IMPLICIT))
    assert (first.is_new, again.is_new, again.revises) == (True, False, None)
    assert again.record.id == first.record.id
    assert [job.id for job in journal(spool)] == [first.record.id]
    assert await redis_client.zcard(keys.OPEN) == 1
    await end_all(queue)
    assert (await send(queue, spool, film(PatientName="Other^Name"))).record.state is JobState.DONE


async def test_bytes_that_are_known_are_compared_with_nothing(queue: JobQueue, spool: Spool) -> None:
    first = await send(queue, spool, film())
    spool.remove(journal(spool)[0].payload)
    again = await send(queue, spool, film())
    assert (again.record.id, again.is_new) == (first.record.id, False)


async def test_object_is_compared_with_the_film_that_it_was_last(queue: JobQueue, spool: Spool) -> None:
    await send(queue, spool, film())
    second = await send(queue, spool, film(other_pixels()))
    again = await send(queue, spool, film(other_pixels(), transfer_syntax=IMPLICIT))
    assert (again.record.id, again.is_new) == (second.record.id, False)


async def test_films_that_are_no_objects_have_no_index(queue: JobQueue, spool: Spool, redis_client: Redis) -> None:
    await send(queue, spool, png_film())
    assert await redis_client.keys(keys.sop("*", "*")) == []


async def test_object_of_another_site_is_another_film_and_no_revision(queue: JobQueue, spool: Spool) -> None:
    await send(queue, spool, film())
    other = await send(queue, spool, film(other_pixels()), site="icu")
    assert (other.is_new, other.revises) == (True, None)


# -- another film ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "changed",
    [
        film(other_pixels()),
        film(PhotometricInterpretation="MONOCHROME1"),
        film(StudyInstanceUID="1.2.4"),
        film(transfer_syntax=JPEG_LOSSLESS_SV1),
        film()[:-1000],
    ],
    ids=["pixels", "photometric", "study", "compressed", "cut"],
)
async def test_object_that_is_not_what_it_was_is_read_and_says_what_it_revises(
    queue: JobQueue, spool: Spool, redis_client: Redis, changed: bytes
) -> None:
    first = await send(queue, spool, film())
    await end_all(queue)
    second = await send(queue, spool, changed)
    assert (second.is_new, second.revises) == (True, first.record.id)
    assert second.record.state is JobState.QUEUED
    assert await films_of_object(redis_client) == [second.record.id, first.record.id]
    assert len(journal(spool)) == 2


async def test_object_whose_older_payload_is_gone_is_another_film(
    queue: JobQueue, spool: Spool, redis_client: Redis
) -> None:
    first = await send(queue, spool, film())
    await end_all(queue)
    (job,) = journal(spool)
    assert await queue.forget_payload(job.id, job.payload)
    spool.remove(job.payload)
    second = await send(queue, spool, film(transfer_syntax=IMPLICIT))
    assert (second.is_new, second.revises) == (True, first.record.id)


async def test_object_whose_older_payload_vanished_is_another_film(queue: JobQueue, spool: Spool) -> None:
    first = await send(queue, spool, film())
    spool.remove(journal(spool)[0].payload)
    second = await send(queue, spool, film(transfer_syntax=IMPLICIT))
    assert (second.is_new, second.revises) == (True, first.record.id)


async def test_damaged_record_keeps_no_other_film_of_its_object_out(
    queue: JobQueue, spool: Spool, redis_client: Redis
) -> None:
    first = await send(queue, spool, film())
    await redis_client.hset(keys.instance(first.record.id), "job", "{")
    second = await send(queue, spool, film(transfer_syntax=IMPLICIT))
    assert (second.is_new, second.revises) == (True, first.record.id)


async def test_film_is_newer_than_what_it_revises_also_by_a_clock_that_is_behind(
    queue: JobQueue, redis_client: Redis
) -> None:
    ahead = replace(make_job(), sop_instance_uid=UID)
    behind = replace(make_job(submitted_ms=ahead.submitted_ms - 3_600_000), sop_instance_uid=UID)
    await queue.submit(ahead)
    assert (await queue.submit(behind, compared_with=ahead.id)).revises == ahead.id
    assert await films_of_object(redis_client) == [behind.id, ahead.id]


# -- several at once ---------------------------------------------------------------------------------------------------
async def test_submit_that_has_not_seen_its_sibling_writes_nothing(queue: JobQueue, redis_client: Redis) -> None:
    first, second = (replace(make_job(), sop_instance_uid=UID) for _ in range(2))
    await queue.submit(first)
    assert isinstance(await queue.look_up(second), Sibling)
    names = set(await redis_client.keys("*"))
    with pytest.raises(SiblingUnseen):
        await queue.submit(second)
    with pytest.raises(SiblingUnseen):
        await queue.submit(second, compared_with="0" * 32)
    assert set(await redis_client.keys("*")) == names
    assert (await queue.submit(second, compared_with=first.id)).is_new


@pytest.fixture
async def gateways(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[list[tuple[JobQueue, Spool]]]:
    """What four gateways have: a connection each, and the spool that they share."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect_gateway(redis_server.settings)) for _ in range(4)]
        yield [
            (JobQueue(client), Spool(tmp_path / "spool", quota_bytes=2**30, minimum_free_ratio=0.0))
            for client in clients
        ]


async def test_one_object_by_four_ways_at_once_is_one_film(gateways: list[tuple[JobQueue, Spool]]) -> None:
    for number in range(10):
        ways: list[dict[str, Any]] = [{}, {"transfer_syntax": IMPLICIT}, {"PatientName": "A"}, {"PatientName": "B"}]
        sent = await asyncio.gather(
            *(
                send(queue, spool, film(SOPInstanceUID=f"1.2.{number}", **way))
                for (queue, spool), way in zip(gateways, ways, strict=True)
            )
        )
        assert len({submission.record.id for submission in sent}) == 1
        assert [submission.is_new for submission in sent].count(True) == 1
        assert {submission.revises for submission in sent} == {None}
        assert len(journal(gateways[0][1])) == number + 1


async def test_four_films_under_one_uid_at_once_are_four_and_each_but_the_first_says_so(
    gateways: list[tuple[JobQueue, Spool]], redis_client: Redis
) -> None:
    sent = await asyncio.gather(
        *(send(queue, spool, film(other_pixels(number))) for number, (queue, spool) in enumerate(gateways))
    )
    newest_first = await films_of_object(redis_client)
    by_id = {submission.record.id: submission.revises for submission in sent}
    assert [by_id[film_id] for film_id in newest_first] == [*newest_first[1:], None]


async def test_revision_whose_reply_is_lost_is_one_film_and_says_what_it_revises(
    queue: JobQueue, spool: Spool, redis_server: RedisServer, redis_client: Redis, tmp_path: Path
) -> None:
    first = await send(queue, spool, film())
    async with (
        lossy_proxy(redis_server.socket, tmp_path / "proxy.sock") as proxy,
        connect_worker(RedisSettings.model_validate({"url": proxy.url})) as client,
    ):
        await client.ping()
        second = await _send_with_lost_replies(JobQueue(client), spool, proxy)
    assert (second.is_new, second.revises) == (True, first.record.id)
    assert await films_of_object(redis_client) == [second.record.id, first.record.id]
    assert len(journal(spool)) == 2


async def _send_with_lost_replies(queue: JobQueue, spool: Spool, proxy: LossyProxy) -> Submission:
    proxy.lose_every(2)
    return await send(queue, spool, film(other_pixels()))


async def test_full_queue_refuses_a_revision_and_keeps_nothing_of_it(
    queue: JobQueue, spool: Spool, redis_client: Redis
) -> None:
    full = JobQueue(redis_client, limits=QueueLimits(routine_depth=1, stat_reserve=0))
    first = await send(full, spool, film())
    with pytest.raises(QueueFull):
        await send(full, spool, film(other_pixels()))
    assert [job.id for job in journal(spool)] == await films_of_object(redis_client) == [first.record.id]


# -- after a loss ------------------------------------------------------------------------------------------------------
async def test_replay_of_the_spool_brings_an_objects_films_back_as_they_were(
    queue: JobQueue, spool: Spool, redis_client: Redis
) -> None:
    sent = [await send(queue, spool, film(other_pixels(number))) for number in range(4)]
    newest_first = await films_of_object(redis_client)
    assert newest_first == [submission.record.id for submission in reversed(sent)]
    age(spool)
    await redis_client.flushall()
    assert (await reconcile(queue, spool)).resubmitted == 4
    assert await films_of_object(redis_client) == newest_first
    again = await send(queue, spool, film(other_pixels(3), transfer_syntax=IMPLICIT))
    assert (again.record.id, again.is_new, again.revises) == (sent[3].record.id, False, None)
    assert (await reconcile(queue, spool)).resubmitted == 0


async def test_films_that_the_ledger_gives_back_are_known_by_their_objects(
    queue: JobQueue, spool: Spool, redis_client: Redis, tmp_path: Path
) -> None:
    trail = AuditTrail(tmp_path / "audit", "worker")
    trail.start()
    try:
        sent = [await send(queue, spool, film(other_pixels(number))) for number in range(2)]
        await end_all(queue)
        await LedgerOutbox(redis_client, trail).drain()
        age(spool)
        await redis_client.flushall()
        report = await reconcile(queue, spool, ledger=LedgerReader(redis_client, trail))
    finally:
        trail.close()
    assert report.restored == 2
    assert await films_of_object(redis_client) == [submission.record.id for submission in reversed(sent)]
    again = await send(queue, spool, film(other_pixels(1), transfer_syntax=IMPLICIT))
    assert again.record == await queue.record(sent[1].record.id)
    assert again.record.state is JobState.DONE


async def test_index_lives_as_long_as_the_youngest_record_of_its_object(
    queue: JobQueue, spool: Spool, redis_client: Redis
) -> None:
    index = keys.sop("default", UID)
    first = await send(queue, spool, film())
    await end_all(queue)
    await redis_client.expire(index, 5)  # the record is about to expire, and the object comes again
    second = await send(queue, spool, film(other_pixels()))
    await end_all(queue)
    assert await redis_client.ttl(index) >= await redis_client.ttl(keys.instance(second.record.id)) > 5
    await redis_client.delete(index)
    await queue.rescore(first.record.id)
    assert await films_of_object(redis_client) == [first.record.id]


async def test_expired_record_is_nobodys_sibling(queue: JobQueue, spool: Spool, redis_client: Redis) -> None:
    first = await send(queue, spool, film())
    await end_all(queue)
    await redis_client.delete(keys.instance(first.record.id))
    second = await send(queue, spool, film(other_pixels()))
    assert (second.is_new, second.revises) == (True, None)


async def test_object_that_comes_changed_again_and_again_gathers_no_names_of_films_that_are_gone(
    queue: JobQueue, redis_client: Redis
) -> None:
    jobs = [replace(make_job(), sop_instance_uid=UID) for _ in range(4)]
    for before, job in zip([None, *jobs[:2]], jobs[:3], strict=True):
        await queue.submit(job, compared_with=before.id if before else None)
    for job in jobs[:2]:
        await redis_client.delete(keys.instance(job.id))  # as if it had expired
    await queue.submit(jobs[3], compared_with=jobs[2].id)
    assert await films_of_object(redis_client) == [jobs[3].id, jobs[2].id, jobs[1].id], "one goes for each that comes"


# -- the warning -------------------------------------------------------------------------------------------------------
async def test_revision_is_a_warning_in_the_audit_trail_and_nothing_else_is(
    queue: JobQueue, spool: Spool, tmp_path: Path
) -> None:
    trail = AuditTrail(tmp_path / "audit", "api")
    trail.start()
    try:
        sent = [
            await send(queue, spool, payload)
            for payload in (film(), film(transfer_syntax=IMPLICIT), film(other_pixels()), film(other_pixels()))
        ]
        for submission in sent:
            warn_of_revision(trail, submission, who="key", source="127.0.0.1")
    finally:
        trail.close()
    (warning,) = [entry for entry in entries_in(tmp_path / "audit") if entry["event"] == AuditEvent.REVISED]
    record: Record = sent[2].record
    assert (warning["film"], warning["revises"], warning["who"]) == (record.id, sent[0].record.id, "key")
