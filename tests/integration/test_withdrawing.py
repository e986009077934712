"""Films that are taken back: whatever a film was, it leaves its study, and nobody decides it any more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from redis.asyncio import Redis

from model.decision import Decision, Outcome
from model.errors import Reason
from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.errors import FilmWithdrawn, JobNotFound, QueueUnavailable, StudyNotFound
from services.jobs.queue import JobQueue
from services.jobs.records import Job, JobState, Priority, TakenJob
from services.jobs.worklist import RollUp, Worklist
from tests.support.jobs import SCORED_BY, TIMINGS, lateral, make_job, scored, unread
from tests.support.queue_steps import assert_nothing_is_left, backdate, deadline, finish, take_one
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]

STUDY = "1.2.3"


def dicom_job(sop: str, *, study_uid: str = STUDY, content: bytes | None = None, site: str = "default") -> Job:
    return replace(make_job(site=site, study_uid=study_uid, content=content), sop_instance_uid=sop)


async def end(queue: JobQueue, taken: TakenJob, decision: Decision) -> bool:
    scored_by = SCORED_BY if decision.outcome.is_scored else None
    return await queue.finish(taken, decision, model=scored_by, timings=TIMINGS)


async def ended(queue: JobQueue, decision: Decision, job: Job | None = None) -> TakenJob:
    await queue.submit(job or make_job(study_uid=STUDY))
    (taken,) = await queue.take("a", count=1, block_ms=0)
    assert await end(queue, taken, decision)
    return taken


async def assert_withdrawn(queue: JobQueue, film_id: str) -> None:
    record = await queue.record(film_id)
    assert (record.state, record.outcome, record.reason) == (JobState.DONE, Outcome.NOT_ASSESSED, Reason.WITHDRAWN)
    assert (record.probability, record.findings, record.model, record.links.preview) == (None, None, None, None)


# -- any state ---------------------------------------------------------------------------------------------------------
async def test_film_that_waits_is_withdrawn_and_nobody_gets_it(queue: JobQueue, redis_client: Redis) -> None:
    job = make_job()
    await queue.submit(job)
    withdrawal = await queue.withdraw(job.id)
    assert withdrawal.is_first
    assert withdrawal.record == await queue.record(job.id)
    await assert_withdrawn(queue, job.id)
    assert await queue.take("a", count=8, block_ms=0) == []
    assert await queue.history(job.id) == ()
    await assert_nothing_is_left(redis_client)
    assert await redis_client.ttl(keys.instance(job.id)) > 30 * 86_400


async def test_worker_that_holds_a_withdrawn_film_decides_nothing_any_more(
    queue: JobQueue, redis_client: Redis
) -> None:
    taken = await take_one(queue)
    await queue.withdraw(taken.job.id)
    assert not await finish(queue, taken, flagged=True)
    assert await queue.retry("a", taken)
    await queue.release("a", [taken])
    assert await queue.reap("b", idle_ms=0) is None
    assert await queue.promote() == await queue.reconcile() == 0
    assert await queue.take("a", count=8, block_ms=0) == []
    await assert_withdrawn(queue, taken.job.id)
    await assert_nothing_is_left(redis_client)


async def test_film_that_is_put_off_is_withdrawn_for_good(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue)
    assert await queue.retry("a", taken)
    await queue.withdraw(taken.job.id)
    assert await redis_client.zcard(keys.RETRY) == 0
    await assert_withdrawn(queue, taken.job.id)


async def test_film_given_back_and_suspects_are_withdrawn_for_good(queue: JobQueue, redis_client: Redis) -> None:
    taken = await take_one(queue)
    await queue.release("a", [taken])
    await queue.withdraw(taken.job.id)
    assert await queue.take("a", count=8, block_ms=0) == []
    await take_one(queue, "dead")
    suspect = await queue.reap("b", idle_ms=0)
    assert suspect is not None
    await queue.release("b", [suspect])
    await queue.withdraw(suspect.job.id)
    assert await queue.reap("b", idle_ms=0) is None
    await assert_nothing_is_left(redis_client)


async def test_withdrawn_film_meets_no_deadline(queue: JobQueue, redis_client: Redis) -> None:
    job = make_job(submitted_ms=1)
    await queue.submit(job)
    await backdate(redis_client, job.id, seconds=10**6)
    await queue.withdraw(job.id)
    assert await queue.expire(deadline(1)) == 0
    await assert_withdrawn(queue, job.id)


@pytest.mark.parametrize("decision", [scored(flagged=True), scored(flagged=False), unread(), lateral()])
async def test_film_that_has_its_outcome_keeps_it_in_its_history(
    queue: JobQueue, redis_client: Redis, decision: Decision
) -> None:
    film_id = (await ended(queue, decision)).job.id
    before = await queue.record(film_id)
    record = (await queue.withdraw(film_id)).record
    await assert_withdrawn(queue, film_id)
    (past,) = await queue.history(film_id)
    assert (past.outcome, past.reason, past.probability, past.done_at) == (
        *(before.outcome, before.reason, before.probability, before.done_at),
    )
    assert record.done_at is not None
    assert past.done_at < record.done_at
    assert await redis_client.hget(keys.instance(film_id), "commits") == "1"
    for key in (keys.instance(film_id), keys.history(film_id)):
        assert await redis_client.ttl(key) > 30 * 86_400


async def test_film_that_is_being_scored_again_is_withdrawn_with_both_in_its_history_or_study(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    film_id = (await ended(queue, scored(flagged=True))).job.id
    await queue.rescore(film_id)
    (again,) = await queue.take("b", count=8, block_ms=0)
    await queue.withdraw(film_id)
    assert not await end(queue, again, scored(flagged=True))
    await assert_withdrawn(queue, film_id)
    assert [past.outcome for past in await queue.history(film_id)] == [Outcome.FLAGGED]
    with pytest.raises(StudyNotFound):
        await worklist.study("default", STUDY)
    await assert_nothing_is_left(redis_client)


# -- once --------------------------------------------------------------------------------------------------------------
async def test_withdrawing_twice_changes_nothing(queue: JobQueue, redis_client: Redis) -> None:
    film_id = (await ended(queue, scored(flagged=True))).job.id
    first = await queue.withdraw(film_id)
    events = await redis_client.xlen(keys.EVENTS)
    again = await queue.withdraw(film_id)
    assert (again.record, again.is_first) == (first.record, False)
    assert len(await queue.history(film_id)) == 1
    assert await redis_client.xlen(keys.EVENTS) == events


async def test_order_whose_reply_was_lost_is_told_that_it_was_the_first(queue: JobQueue) -> None:
    job = make_job()
    await queue.submit(job)
    await queue._run("withdraw", job.id, "{}", "withdrawn:a")
    assert (await queue._run("withdraw", job.id, "{}", "withdrawn:a"))[0] == 1
    assert (await queue._run("withdraw", job.id, "{}", "withdrawn:b"))[0] == 0


async def test_one_of_many_who_withdraw_at_once_is_the_first(queue: JobQueue) -> None:
    film_id = (await ended(queue, unread())).job.id
    withdrawals = await asyncio.gather(*(queue.withdraw(film_id) for _ in range(8)))
    assert sum(withdrawal.is_first for withdrawal in withdrawals) == 1
    assert len(await queue.history(film_id)) == 1


async def test_withdrawn_film_stays_so_when_it_is_sent_or_ordered_again(queue: JobQueue) -> None:
    job = make_job(7)
    await queue.submit(job)
    await queue.withdraw(job.id)
    again = await queue.submit(make_job(7))
    assert (again.is_new, again.record.reason) == (False, Reason.WITHDRAWN)
    for order in (queue.rescore, queue.requeue):
        with pytest.raises(FilmWithdrawn):
            await order(job.id)
    await assert_withdrawn(queue, job.id)


async def test_unknown_film_cannot_be_withdrawn(queue: JobQueue) -> None:
    with pytest.raises(JobNotFound):
        await queue.withdraw("0" * 32)


async def test_film_that_the_ledger_gave_back_can_be_withdrawn(queue: JobQueue, redis_client: Redis) -> None:
    film_id = (await ended(queue, scored(flagged=True))).job.id
    await redis_client.hdel(keys.instance(film_id), "mid")
    await queue.withdraw(film_id)
    await assert_withdrawn(queue, film_id)


async def test_payload_of_a_withdrawn_film_stays_until_retention_and_may_be_forgotten_then(queue: JobQueue) -> None:
    job = make_job()
    await queue.submit(job)
    await queue.withdraw(job.id)
    registration = (await queue.registrations([job.id]))[job.id]
    assert (registration.payload, registration.outcome) == (job.payload, Outcome.NOT_ASSESSED)
    assert await queue.forget_payload(job.id, job.payload)


@pytest.mark.parametrize("is_done", [False, True])
async def test_redis_out_of_memory_withdraws_all_the_same(mortal_redis_server: RedisServer, is_done: bool) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        taken = await take_one(queue)
        if is_done:
            assert await finish(queue, taken, flagged=True)
        await client.config_set("maxmemory", "1")
        await queue.withdraw(taken.job.id)
        await assert_withdrawn(queue, taken.job.id)


# -- who hears of it ---------------------------------------------------------------------------------------------------
async def test_callers_who_wait_and_the_ledger_are_told(queue: JobQueue, redis_client: Redis) -> None:
    open_film, done_film = make_job(), (await ended(queue, scored(flagged=True))).job
    await queue.submit(open_film)
    revision = int(str(await redis_client.get(keys.REVISION)))
    for film_id in (open_film.id, done_film.id):
        await queue.withdraw(film_id)
        newest: Any = await redis_client.xrevrange(keys.EVENTS, count=1)
        ((_, event),) = newest
        assert (event["id"], event["state"], event["outcome"]) == (film_id, "done", "not_assessed")
    assert int(str(await redis_client.get(keys.REVISION))) > revision
    owed = set(await redis_client.zrange(keys.LEDGER_DUE, 0, -1))
    assert owed == {open_film.id, done_film.id, f"{done_film.id}:0"}


# -- the study ---------------------------------------------------------------------------------------------------------
async def test_withdrawn_films_leave_the_roll_up_and_nothing_else_does(queue: JobQueue, worklist: Worklist) -> None:
    flagged = (await ended(queue, scored(flagged=True))).job.id
    unread_film = (await ended(queue, unread())).job.id
    calm = (await ended(queue, scored(flagged=False))).job.id
    waits = make_job(study_uid=STUDY, priority=Priority.STAT)
    await queue.submit(waits)
    for film_id, outcome, films in (
        (flagged, RollUp.NOT_ASSESSED, 3),
        (unread_film, RollUp.PENDING, 2),
        (waits.id, RollUp.NOT_FLAGGED, 1),
    ):
        await queue.withdraw(film_id)
        study, members = await worklist.study("default", STUDY)
        assert (study.outcome, study.films) == (outcome, films)
        assert film_id not in members
    assert (study.pending, study.unread, study.priority) == (0, 0, Priority.ROUTINE)
    await queue.withdraw(calm)
    with pytest.raises(StudyNotFound):
        await worklist.study("default", STUDY)


async def test_lateral_without_its_frontal_ranks_again(queue: JobQueue, worklist: Worklist) -> None:
    frontal = (await ended(queue, scored(flagged=False))).job.id
    await ended(queue, lateral())
    assert (await worklist.study("default", STUDY))[0].outcome is RollUp.NOT_FLAGGED
    await queue.withdraw(frontal)
    assert (await worklist.study("default", STUDY))[0].outcome is RollUp.NOT_ASSESSED


async def test_film_whose_study_was_lost_leaves_no_counters_behind(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    film_id = (await ended(queue, scored(flagged=True))).job.id
    await redis_client.delete(keys.study("default", STUDY), keys.study_members("default", STUDY))
    await queue.withdraw(film_id)
    with pytest.raises(StudyNotFound):
        await worklist.study("default", STUDY)
    await ended(queue, scored(flagged=False))
    study, _ = await worklist.study("default", STUDY)
    assert (study.outcome, study.films, study.pending) == (RollUp.NOT_FLAGGED, 1, 0)


# A study that only waits is pending; what is read or unread since moves it, and never below what any film has said.
RANK = {RollUp.NOT_FLAGGED: 0, RollUp.PENDING: 0, RollUp.NOT_ASSESSED: 1, RollUp.FLAGGED: 2}
SAID = {"calm": 0, "unread": 1, "flagged": 2}


@pytest.mark.parametrize("order", list(permutations(SAID)), ids="-".join)
@pytest.mark.parametrize("is_sent_at_once", [True, False])
async def test_roll_up_only_rises_while_films_of_a_study_come_and_end_in_any_order(
    queue: JobQueue, worklist: Worklist, order: tuple[str, ...], is_sent_at_once: bool
) -> None:
    decisions = {"calm": scored(flagged=False), "unread": unread(), "flagged": scored(flagged=True)}
    held = []
    for _ in order if is_sent_at_once else ():
        await queue.submit(make_job(study_uid=STUDY))
    highest = 0
    for at, name in enumerate(order):
        if not is_sent_at_once:
            await queue.submit(make_job(study_uid=STUDY))
            assert RANK[(await worklist.study("default", STUDY))[0].outcome] >= highest, (
                "a film that comes lowers nothing"
            )
        held += await queue.take("a", count=1, block_ms=0)
        assert await end(queue, held[at], decisions[name])
        highest = max(highest, SAID[name])
        study, _ = await worklist.study("default", STUDY)
        assert RANK[study.outcome] == highest
        is_whole = at == len(order) - 1 or not is_sent_at_once
        assert study.outcome is not RollUp.NOT_FLAGGED or is_whole, "not_flagged only when every film is read"


# -- rejection notes ---------------------------------------------------------------------------------------------------
async def test_objects_that_are_rejected_are_withdrawn_in_their_site_alone(queue: JobQueue) -> None:
    here, elsewhere, other = dicom_job("1.1"), dicom_job("1.1", site="north"), dicom_job("1.2")
    for job in (here, elsewhere, other):
        await queue.submit(job)
    assert await queue.withdraw_objects("default", [(STUDY, "1.1")]) == [here.id]
    await assert_withdrawn(queue, here.id)
    assert (await queue.record(elsewhere.id)).state is (await queue.record(other.id)).state is JobState.QUEUED
    assert await queue.withdraw_objects("default", [(STUDY, "1.1")]) == [], "repeating it changes nothing"


async def test_every_film_that_an_object_was_is_withdrawn(queue: JobQueue) -> None:
    first, second = dicom_job("1.1", content=b"first"), dicom_job("1.1", content=b"second")
    await queue.submit(first)
    await queue.submit(second, compared_with=first.id)
    assert set(await queue.withdraw_objects("default", [("9.9", "1.1")])) == {first.id, second.id}


async def test_film_from_before_the_index_is_found_by_its_study(queue: JobQueue, redis_client: Redis) -> None:
    job = dicom_job("1.1")
    await queue.submit(job)
    await redis_client.delete(keys.sop("default", "1.1"))
    assert await queue.withdraw_objects("default", [(STUDY, "1.1")]) == [job.id]


async def test_object_that_is_not_here_yet_is_withdrawn_when_it_comes(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    assert await queue.withdraw_objects("default", [(STUDY, "1.1")]) == []
    assert await redis_client.ttl(keys.rejected("default", "1.1")) > 30 * 86_400
    job = dicom_job("1.1")
    submission = await queue.submit(job)
    assert submission.is_new
    assert (submission.record.state, submission.record.reason) == (JobState.DONE, Reason.WITHDRAWN)
    await assert_withdrawn(queue, job.id)
    assert await queue.take("a", count=8, block_ms=0) == []
    await assert_nothing_is_left(redis_client)
    with pytest.raises(StudyNotFound):
        await worklist.study("default", STUDY)
    assert await redis_client.zrange(keys.LEDGER_DUE, 0, -1) == [job.id]
    elsewhere = await queue.submit(dicom_job("1.1", site="north"))
    assert elsewhere.record.state is JobState.QUEUED


async def test_note_of_many_objects_withdraws_them_all(queue: JobQueue) -> None:
    jobs = [dicom_job(f"1.{number}") for number in range(250)]
    for job in jobs:
        await queue.submit(job)
    named = [(STUDY, f"1.{number}") for number in range(300)]
    assert set(await queue.withdraw_objects("default", named)) == {job.id for job in jobs}


async def test_redis_out_of_memory_refuses_a_note_whole(mortal_redis_server: RedisServer) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue, job = JobQueue(client), dicom_job("1.1")
        await queue.submit(job)
        names = set(await client.keys("*"))
        await client.config_set("maxmemory", "1")
        with pytest.raises(QueueUnavailable):
            await queue.withdraw_objects("default", [(STUDY, "1.2"), (STUDY, "1.1")])
        await client.config_set("maxmemory", "0")
        assert set(await client.keys("*")) == names
        assert (await queue.record(job.id)).state is JobState.QUEUED
        assert await queue.withdraw_objects("default", [(STUDY, "1.2"), (STUDY, "1.1")]) == [job.id]
