"""Rejection notes: what one names is withdrawn, now or when it comes, and the audit trail says so."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from model.decision import Outcome
from model.decoding.key_object import read_key_object
from model.errors import Reason
from services.jobs import keys
from services.jobs.ledger.outbox import LedgerOutbox
from services.jobs.ledger.restore import LedgerReader
from services.jobs.ledger.trail import AuditTrail
from services.jobs.queue import JobQueue
from services.jobs.reconcile import UNCLAIMED_SECONDS, reconcile
from services.jobs.records import Job, JobState
from services.jobs.rejection import Rejection, reject
from services.jobs.spool import Spool
from tests.support.jobs import make_job
from tests.support.key_objects import OF_INTEREST, REJECTED_FOR_QUALITY, key_object
from tests.support.ledger import lines_of
from tests.support.queue_steps import finish

STUDY = "1.2.3"


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[AuditTrail]:
    trail = AuditTrail(tmp_path / "audit", "api")
    trail.start()
    yield trail
    trail.close()


def entries(trail: AuditTrail) -> list[dict[str, Any]]:
    """Return what the closed trail says of rejections."""
    trail.close()
    (path,) = trail.directory.glob("*.jsonl")
    found = [json.loads(line) for line in lines_of(path)]
    return [entry for entry in found if entry["event"] in ("rejected", "withdrawn")]


def film(sop: str) -> Job:
    return replace(make_job(study_uid=STUDY), sop_instance_uid=sop)


async def act(queue: JobQueue, trail: AuditTrail, title: str, *objects: str) -> Rejection:
    note = read_key_object(key_object({STUDY: objects}, title=title))
    return await reject(note, site="default", queue=queue, audit=trail, who="key", source="127.0.0.1")


async def test_note_withdraws_what_is_here_and_what_comes_later(queue: JobQueue, trail: AuditTrail) -> None:
    here, later, other = film("1.1"), film("1.2"), film("1.3")
    for job in (here, other):
        await queue.submit(job)
    rejection = await act(queue, trail, REJECTED_FOR_QUALITY, "1.1", "1.2")
    assert rejection == Rejection(withdrawn=(here.id,), named=2)
    assert (await queue.record(here.id)).reason is Reason.WITHDRAWN
    assert (await queue.record(other.id)).state is JobState.QUEUED
    assert (await queue.submit(later)).record.reason is Reason.WITHDRAWN
    assert await act(queue, trail, REJECTED_FOR_QUALITY, "1.1", "1.2") == Rejection(withdrawn=(), named=2)
    first, withdrawn, _ = entries(trail)
    assert (first["event"], first["study"], first["count"], first["code"]) == ("rejected", STUDY, 2, "113001")
    assert (withdrawn["event"], withdrawn["film"], withdrawn["who"]) == ("withdrawn", here.id, "key")


async def test_document_of_another_title_does_nothing(queue: JobQueue, trail: AuditTrail) -> None:
    job = film("1.1")
    await queue.submit(job)
    assert await act(queue, trail, OF_INTEREST, "1.1") == Rejection(withdrawn=(), named=0)
    assert (await queue.record(job.id)).state is JobState.QUEUED
    assert entries(trail) == []


async def test_trail_names_every_object_of_a_note(queue: JobQueue, trail: AuditTrail) -> None:
    uids = [f"1.{number}" for number in range(600)]
    await act(queue, trail, REJECTED_FOR_QUALITY, *uids)
    said = entries(trail)
    assert [entry["count"] for entry in said] == [500, 100]
    assert [uid for entry in said for uid in entry["objects"]] == uids


# -- a Redis that has lost everything ----------------------------------------------------------------------------------
@pytest.fixture
def ledger(redis_client: Redis, trail: AuditTrail) -> LedgerReader:
    return LedgerReader(redis_client, trail)


async def lose_everything(redis: Redis, trail: AuditTrail) -> None:
    """Lose Redis once everything noted so far is on the disk: what is ordered later is written later."""
    await asyncio.wrap_future(trail.append([]))
    await redis.flushall()


async def test_note_takes_effect_again_on_films_that_come_back_and_on_those_that_come(
    queue: JobQueue, trail: AuditTrail, ledger: LedgerReader, spool: Spool, redis_client: Redis
) -> None:
    here, later, other = film("1.1"), film("1.2"), film("1.3")
    upload = spool.begin()
    upload.write(b"film")
    spool.keep(upload, here)
    then = time.time() - 2 * UNCLAIMED_SECONDS
    os.utime(spool.read(here), (then, then))
    await queue.submit(here)
    await act(queue, trail, REJECTED_FOR_QUALITY, "1.1", "1.2")
    await lose_everything(redis_client, trail)  # before the ledger had the outcome of the one that is here
    assert (await reconcile(queue, spool, ledger=ledger, is_start=True)).resubmitted == 1
    assert (await queue.record(here.id)).reason is Reason.WITHDRAWN
    assert (await queue.submit(later)).record.reason is Reason.WITHDRAWN
    assert (await queue.submit(other)).record.state is JobState.QUEUED


async def test_note_takes_effect_on_a_film_that_the_ledger_gives_back_later(
    queue: JobQueue, trail: AuditTrail, ledger: LedgerReader, redis_client: Redis
) -> None:
    job = film("1.1")
    await queue.submit(job)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await finish(queue, taken, flagged=True)
    await LedgerOutbox(redis_client, trail).drain()
    await lose_everything(redis_client, trail)
    await act(queue, trail, REJECTED_FOR_QUALITY, "1.1")
    await ledger.restore_everything(await ledger.verify())
    assert (await queue.record(job.id)).reason is Reason.WITHDRAWN
    assert [past.outcome for past in await queue.history(job.id)] == [Outcome.FLAGGED]
    assert await redis_client.ttl(keys.instance(job.id)) > 30 * 86_400


async def test_edited_trail_takes_nothing_back(
    queue: JobQueue, trail: AuditTrail, ledger: LedgerReader, spool: Spool, redis_client: Redis
) -> None:
    for uid in ("1.1", "1.2"):
        await act(queue, trail, REJECTED_FOR_QUALITY, uid)
    await lose_everything(redis_client, trail)
    (path,) = trail.directory.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'["1.2"]', b'["1.3"]'))
    await reconcile(queue, spool, ledger=ledger, is_start=True)
    for uid in ("1.1", "1.2", "1.3"):
        assert (await queue.submit(film(uid))).record.state is JobState.QUEUED


async def test_trail_is_read_for_notes_only_where_redis_does_not_know_them(
    queue: JobQueue, trail: AuditTrail, ledger: LedgerReader, spool: Spool, redis_client: Redis
) -> None:
    await reconcile(queue, spool, ledger=ledger, is_start=True)
    await act(queue, trail, REJECTED_FOR_QUALITY, "1.1")
    await asyncio.wrap_future(trail.append([]))
    await redis_client.delete(keys.rejected("default", "1.1"))
    await reconcile(queue, spool, ledger=ledger, is_start=True)
    assert (await queue.submit(film("1.1"))).record.state is JobState.QUEUED


async def test_redis_of_an_older_copy_is_told_when_the_trail_is_restored(
    queue: JobQueue, trail: AuditTrail, ledger: LedgerReader, spool: Spool, redis_client: Redis
) -> None:
    await reconcile(queue, spool, ledger=ledger, is_start=True)
    await act(queue, trail, REJECTED_FOR_QUALITY, "1.1")
    await asyncio.wrap_future(trail.append([]))
    await redis_client.delete(keys.rejected("default", "1.1"))
    sceptic = LedgerReader(redis_client, trail, patience_seconds=None, trusts_marks=False)
    for _ in range(2):  # as `audit restore` does, which may be repeated
        await reconcile(queue, spool, ledger=sceptic, is_start=True)
    assert (await queue.submit(film("1.1"))).record.reason is Reason.WITHDRAWN
