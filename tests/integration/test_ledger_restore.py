"""After a lost Redis every ledgered outcome is there again as it was; nothing unread looks read because of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from model.decision import Decision, Outcome
from model.errors import Reason
from services.jobs import keys
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.errors import FilmWithdrawn
from services.jobs.ledger.entries import AuditEvent
from services.jobs.ledger.outbox import LedgerOutbox
from services.jobs.ledger.restore import LedgerReader, Restored
from services.jobs.ledger.trail import AuditTrail
from services.jobs.queue import JobQueue
from services.jobs.reconcile import UNCLAIMED_SECONDS, reconcile
from services.jobs.records import Claims, Job, JobState, Priority
from services.jobs.spool import Spool
from services.jobs.worklist import RollUp, Worklist, WorklistFilter
from tests.support.jobs import SCORED_BY, TIMINGS, lateral, make_job, now_ms, scored, unread
from tests.support.ledger import lines_of, put_lines
from tests.support.queue_steps import assert_nothing_is_left
from tests.support.redis_server import EVERY_REDIS

pytestmark = pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)

DAY_MS = 86_400_000


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[AuditTrail]:
    trail = AuditTrail(tmp_path / "audit", "worker")
    trail.start()
    yield trail
    trail.close()


@pytest.fixture
def outbox(redis_client: Redis, trail: AuditTrail) -> LedgerOutbox:
    return LedgerOutbox(redis_client, trail)


@pytest.fixture
def ledger(redis_client: Redis, trail: AuditTrail) -> LedgerReader:
    return LedgerReader(redis_client, trail)


async def end(queue: JobQueue, job: Job, decision: Decision) -> None:
    """Submit a film and finish it."""
    await queue.submit(job)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    assert taken.job == job
    await queue.finish(taken, decision, model=SCORED_BY, timings=TIMINGS)


def keep(spool: Spool, job: Job) -> None:
    """Keep a film's payload as the gateway does, long enough ago for reconcile."""
    upload = spool.begin()
    upload.write(b"film")
    spool.keep(upload, job)
    then = time.time() - 2 * UNCLAIMED_SECONDS
    os.utime(spool.read(job), (then, then))


async def a_days_films(queue: JobQueue) -> list[Job]:
    """End films of every kind: stat, another site, a lateral beside a scored frontal, a study that rolls up."""
    jobs = []
    for number, decision in enumerate(
        [scored(flagged=True), scored(flagged=False), unread(), unread(Reason.WORKER_CRASH), lateral(), lateral()]
    ):
        study = "1.2.3" if number in (1, 4) else None
        site = "icu" if number == 2 else "default"
        jobs.append(make_job(number, priority=list(Priority)[number % 2], site=site, study_uid=study))
        await end(queue, jobs[-1], decision)
    return jobs


async def worklist_of(worklist: Worklist) -> list[tuple[str, RollUp, int, int]]:
    page = await worklist.page(WorklistFilter(), cursor=None, limit=100)
    return [(study.study_uid, study.outcome, study.films, study.unread) for study in page.studies]


async def test_lost_redis_gets_every_outcome_back_as_it_was(
    queue: JobQueue, worklist: Worklist, outbox: LedgerOutbox, ledger: LedgerReader, redis_client: Redis
) -> None:
    ids = [job.id for job in await a_days_films(queue)]
    await outbox.drain()
    records, studies = await queue.records(ids), await worklist_of(worklist)
    dead = {(film.film_id, film.reason) for film in await queue.dead(limit=10)}
    await redis_client.flushall()
    report = await ledger.verify()
    assert report.is_sound
    assert (await ledger.restore_everything(report))[Restored.RESTORED] == len(ids)
    assert await queue.records(ids) == records
    assert await worklist_of(worklist) == studies
    assert {(film.film_id, film.reason) for film in await queue.dead(limit=10)} == dead
    assert await queue.take("a", count=1, block_ms=0) == []
    await assert_nothing_is_left(redis_client)
    assert await redis_client.zcard(keys.LEDGER_DUE) == 0


async def test_restored_records_live_as_long_as_they_would_have_lived(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, redis_client: Redis
) -> None:
    fresh, old, gone = [make_job(submitted_ms=now_ms() - 40 * DAY_MS) for _ in range(3)]
    for job, days in ((fresh, 0), (old, 30), (gone, 32)):
        await end(queue, job, scored(flagged=True))
        await redis_client.hset(keys.instance(job.id), "done_ms", now_ms() - days * DAY_MS)
    await outbox.drain()
    await redis_client.flushall()
    films = await ledger.restore_everything(await ledger.verify())
    assert (films[Restored.RESTORED], films[Restored.EXPIRED]) == (2, 1)
    lives = [await redis_client.ttl(keys.instance(job.id)) / 86_400 for job in (fresh, old, gone)]
    assert [round(days, 2) for days in lives[:2]] == [31, 1]
    assert lives[2] < 0
    assert round(await redis_client.ttl(keys.study("default", old.study_uid)) / 86_400, 2) == 2


async def test_nothing_that_redis_knows_is_overwritten(
    queue: JobQueue, worklist: Worklist, outbox: LedgerOutbox, ledger: LedgerReader
) -> None:
    jobs = await a_days_films(queue)
    await outbox.drain()
    records, studies = await queue.records([job.id for job in jobs]), await worklist_of(worklist)
    films = await ledger.restore_everything(await ledger.verify())
    assert (films[Restored.KNOWN], films[Restored.RESTORED]) == (len(jobs), 0)
    assert await queue.records([job.id for job in jobs]) == records
    assert await worklist_of(worklist) == studies


async def test_film_that_was_sent_again_gets_its_ledgered_outcome_whoever_holds_it(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, redis_client: Redis
) -> None:
    held, waiting = make_job(1), make_job(2)
    for job in (held, waiting):
        await end(queue, job, scored(flagged=True))
    await outbox.drain()
    await redis_client.flushall()
    await queue.submit(make_job(1))
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await queue.submit(make_job(2))
    assert (await ledger.restore_everything(await ledger.verify()))[Restored.RESTORED] == 2
    assert not await queue.finish(taken, scored(flagged=False), model=SCORED_BY, timings=TIMINGS)
    assert [record.outcome for record in await queue.records([held.id, waiting.id])] == [Outcome.FLAGGED] * 2
    assert await queue.take("a", count=1, block_ms=0) == []
    await assert_nothing_is_left(redis_client)


async def test_film_that_was_scored_again_comes_back_with_its_last_decision_and_its_history(
    queue: JobQueue, worklist: Worklist, outbox: LedgerOutbox, ledger: LedgerReader, redis_client: Redis
) -> None:
    job = make_job()
    await end(queue, job, scored(flagged=False))
    await queue.rescore(job.id)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await queue.finish(taken, scored(flagged=True), model=SCORED_BY, timings=TIMINGS)
    await outbox.drain()
    record, (past,) = await queue.record(job.id), await queue.history(job.id)
    studies = await worklist_of(worklist)
    await redis_client.flushall()
    await ledger.restore_everything(await ledger.verify())
    assert await queue.record(job.id) == record
    (restored,) = await queue.history(job.id)
    assert restored.model_copy(update={"replaced_at": past.replaced_at}) == past
    assert await worklist_of(worklist) == studies


async def test_film_that_was_being_scored_again_does_not_get_the_outcome_that_was_given_up(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, trail: AuditTrail, spool: Spool, redis_client: Redis
) -> None:
    job = make_job()
    keep(spool, job)
    await end(queue, job, scored(flagged=False))
    await outbox.drain()
    await queue.rescore(job.id)
    trail.note(AuditEvent.RESCORED, film_id=job.id, who="admin")
    await trail_is_written(trail)
    await redis_client.flushall()
    assert (await ledger.restore_everything(await ledger.verify()))[Restored.REOPENED] == 1
    report = await reconcile(queue, spool, ledger=ledger)
    assert (report.restored, report.resubmitted) == (0, 1)
    assert (await queue.record(job.id)).state is JobState.QUEUED


async def test_payloads_without_record_are_restored_not_scored_again(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, spool: Spool, redis_client: Redis
) -> None:
    done, waiting = replace(make_job(), claims=Claims(age_years=40.0)), make_job()
    for job in (done, waiting):
        keep(spool, job)
    await end(queue, done, scored(flagged=True))
    await queue.submit(waiting)
    await outbox.drain()
    before = await queue.record(done.id)
    await redis_client.flushall()
    report = await reconcile(queue, spool, ledger=ledger)
    assert (report.restored, report.resubmitted) == (1, 1)
    assert await queue.record(done.id) == before
    assert [taken.job for taken in await queue.take("a", count=9, block_ms=0)] == [waiting]
    again = await reconcile(queue, spool, ledger=ledger)
    assert (again.restored, again.resubmitted, again.removed_payloads) == (0, 0, 0)
    await queue.rescore(done.id)  # its payload is there, and so is what the caller said of the patient
    (taken,) = await queue.take("a", count=1, block_ms=0)
    assert taken.job == done


async def test_film_whose_end_redis_forgot_is_not_scored_again_after_a_start(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, spool: Spool, redis_client: Redis
) -> None:
    finished, waiting = make_job(), make_job()
    await end(queue, finished, scored(flagged=True))
    await outbox.drain()
    before = await queue.record(finished.id)
    await redis_client.flushall()  # what is left of the log says that both were submitted
    for job in (finished, waiting):
        await queue.submit(job)
    assert (await reconcile(queue, spool, ledger=ledger)).restored == 0
    assert (await reconcile(queue, spool, ledger=ledger, is_start=True)).restored == 1
    assert await queue.record(finished.id) == before
    assert [taken.job for taken in await queue.take("a", count=9, block_ms=0)] == [waiting]


async def test_second_score_that_redis_forgot_comes_back_with_the_first_in_its_history(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, trail: AuditTrail, redis_client: Redis
) -> None:
    job = make_job()
    await end(queue, job, scored(flagged=False))
    await outbox.drain()
    await queue.rescore(job.id)
    for _ in range(2):  # asked twice before it was scored
        trail.note(AuditEvent.RESCORED, film_id=job.id)
    await trail_is_written(trail)
    before: Any = await redis_client.hgetall(keys.instance(job.id))
    await asyncio.sleep(0.002)  # no film is scored in the millisecond in which it was asked for
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await queue.finish(taken, scored(flagged=True), model=SCORED_BY, timings=TIMINGS)
    await outbox.drain()
    record = await queue.record(job.id)
    await redis_client.delete(keys.instance(job.id))
    await redis_client.hset(keys.instance(job.id), mapping=before)
    await redis_client.zadd(keys.OPEN, {job.id: now_ms()})
    assert await ledger.restore_open() == 1
    assert await queue.record(job.id) == record
    assert len(await queue.history(job.id)) == 1


async def test_film_that_is_scored_again_is_left_open_though_the_trail_has_two_decisions_of_it(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, redis_client: Redis
) -> None:
    job = make_job()
    for _ in range(2):  # Redis lost the first outcome while workers ran, so that the film was scored twice
        await redis_client.flushall()
        await end(queue, job, scored(flagged=False))
        await outbox.drain()
    await queue.rescore(job.id)  # by a gateway whose disk refuses its note
    assert await ledger.restore_open() == 0
    assert (await queue.record(job.id)).state is JobState.QUEUED


async def test_last_decision_comes_back_also_where_the_clock_went_back_before_it(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, redis_client: Redis
) -> None:
    job = make_job()
    await end(queue, job, scored(flagged=False))
    await redis_client.hset(keys.instance(job.id), "done_ms", now_ms() + 2 * 3_600_000)
    await queue.rescore(job.id)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await queue.finish(taken, scored(flagged=True), model=SCORED_BY, timings=TIMINGS)
    await outbox.drain()
    await redis_client.flushall()
    await ledger.restore_everything(await ledger.verify())
    assert (await queue.record(job.id)).outcome is Outcome.FLAGGED


async def test_disk_that_hangs_keeps_no_film_from_being_taken(
    queue: JobQueue, trail: AuditTrail, spool: Spool, redis_client: Redis
) -> None:
    await trail_is_written(trail)
    hanging = trail.directory / "worker-hanging.jsonl"
    os.mkfifo(hanging)  # whoever opens it waits
    lost, waiting = make_job(), make_job()
    keep(spool, lost)
    await queue.submit(waiting)
    ledger = LedgerReader(redis_client, trail, patience_seconds=0.2)
    for _ in range(2):
        await reconcile(queue, spool, ledger=ledger, is_start=True)
    assert {taken.job.id for taken in await queue.take("a", count=9, block_ms=0)} == {lost.id, waiting.id}
    writer = os.open(hanging, os.O_RDWR)  # lets go who waits
    hanging.unlink()
    os.close(writer)


async def test_edited_trail_restores_nothing_by_itself(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, trail: AuditTrail, spool: Spool, redis_client: Redis
) -> None:
    job = make_job()
    keep(spool, job)
    await end(queue, job, unread())
    await outbox.drain()
    (path,) = trail.directory.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"outcome":"not_assessed"', b'"outcome":"not_flagged"'))
    await redis_client.flushall()
    report = await ledger.verify()
    assert not report.is_sound
    assert (await ledger.restore_everything(report))[Restored.RESTORED] == 0
    reconciled = await reconcile(queue, spool, ledger=ledger)
    assert (reconciled.restored, reconciled.resubmitted) == (0, 1)
    assert (await queue.record(job.id)).outcome is None


async def test_despite_findings_only_what_draws_attention_comes_back_and_only_from_sound_chains(
    queue: JobQueue, redis_client: Redis, tmp_path: Path
) -> None:
    jobs = {}
    trails = [AuditTrail(tmp_path / "audit", "worker") for _ in range(2)]
    for number, trail in enumerate(trails):
        trail.start()
        for decision in (scored(flagged=True), scored(flagged=False), unread()):
            job = jobs[number, decision.outcome] = make_job()
            await end(queue, job, decision)
        await LedgerOutbox(redis_client, trail).drain()
        trail.close()
    assert trails[0].position is not None
    edited = trail.directory / trails[0].position[0]
    put_lines(edited, lines_of(edited)[:-2])
    await redis_client.flushall()
    ledger = LedgerReader(redis_client, trails[1])
    films = await ledger.restore_everything(await ledger.verify())
    restored = {place for place, job in jobs.items() if await queue.records([job.id])}
    assert restored == {(1, Outcome.FLAGGED), (1, Outcome.NOT_ASSESSED)}
    assert (films[Restored.RESTORED], films[Restored.UNTRUSTED]) == (2, 1)


async def test_chains_that_ended_long_before_the_lost_films_are_not_read(
    queue: JobQueue, redis_client: Redis, tmp_path: Path
) -> None:
    job = make_job(submitted_ms=now_ms() + 3 * DAY_MS)  # so that today's chain is an old one
    first, second = [AuditTrail(tmp_path / "audit", "worker") for _ in range(2)]
    first.start()
    await end(queue, job, scored(flagged=True))
    await LedgerOutbox(redis_client, first).drain()
    first.close()
    second.start()
    await trail_is_written(second)
    await redis_client.flushall()
    assert await LedgerReader(redis_client, second).restore([job]) == set()
    second.close()


async def trail_is_written(trail: AuditTrail) -> None:
    """Return once everything noted so far is on the disk: what is ordered later is written later."""
    await asyncio.wrap_future(trail.append([]))


# -- films that were taken back, and targets ---------------------------------------------------------------------------
async def test_withdrawn_film_comes_back_withdrawn_with_what_it_was_before(
    queue: JobQueue, worklist: Worklist, outbox: LedgerOutbox, ledger: LedgerReader, redis_client: Redis
) -> None:
    read, waits = make_job(study_uid="1.2.3"), make_job(study_uid="1.2.3")
    await end(queue, read, scored(flagged=True))
    await queue.submit(waits)
    for job in (read, waits):
        await queue.withdraw(job.id)
    ids = [read.id, waits.id]
    records, past = await queue.records(ids), await queue.history(read.id)
    await outbox.drain()
    await redis_client.flushall()
    assert (await ledger.restore_everything(await ledger.verify()))[Restored.RESTORED] == 2
    assert await queue.records(ids) == records
    assert [was.outcome for was in await queue.history(read.id)] == [was.outcome for was in past]
    assert await worklist_of(worklist) == []
    for job in (read, waits):
        assert not (await queue.withdraw(job.id)).is_first
        with pytest.raises(FilmWithdrawn):
            await queue.rescore(job.id)


async def test_restored_film_can_be_withdrawn(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, redis_client: Redis
) -> None:
    job = make_job()
    await end(queue, job, scored(flagged=True))
    await outbox.drain()
    await redis_client.flushall()
    await ledger.restore_everything(await ledger.verify())
    assert (await queue.withdraw(job.id)).record.reason is Reason.WITHDRAWN
    assert await queue.take("a", count=1, block_ms=0) == []


async def test_restored_decisions_are_owed_to_targets_that_are_announced_by_then(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, redis_client: Redis
) -> None:
    deliveries, job = DeliveryOutbox(redis_client), make_job()
    await end(queue, job, scored(flagged=True))
    await queue.withdraw(job.id)
    await outbox.drain()
    await redis_client.flushall()
    await deliveries.announce(["pacs"])
    await ledger.restore_everything(await ledger.verify())
    (owed,) = await deliveries.lease("pacs", count=9)
    assert (owed.film_id, owed.commit, owed.record.reason) == (job.id, 2, Reason.WITHDRAWN)
    assert [was.outcome for was in owed.past] == [Outcome.FLAGGED]


async def test_redis_from_an_older_copy_learns_which_films_were_taken_back(
    queue: JobQueue, outbox: LedgerOutbox, ledger: LedgerReader, redis_client: Redis
) -> None:
    job = make_job()
    await end(queue, job, scored(flagged=False))
    film: Any = await redis_client.hgetall(keys.instance(job.id))
    await queue.withdraw(job.id)
    await outbox.drain()
    await redis_client.flushall()
    await queue.submit(job)
    await queue.take("a", count=1, block_ms=0)
    await redis_client.hset(keys.instance(job.id), mapping=film)
    await redis_client.zrem(keys.OPEN, job.id)
    assert (await ledger.restore_everything(await ledger.verify()))[Restored.RESTORED] == 1
    assert (await queue.record(job.id)).reason is Reason.WITHDRAWN
    assert (await ledger.restore_everything(await ledger.verify()))[Restored.KNOWN] == 1
