"""Films scored once more: nothing of the first decision is lost, and nobody who held the film then decides it now."""

from __future__ import annotations

import json

import pytest
from redis.asyncio import Redis

from model.decision import Decision, Outcome
from model.errors import Reason
from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.errors import JobNotFound, NotRescorable, QueueFull, QueueUnavailable
from services.jobs.queue import JobQueue, QueueLimits
from services.jobs.records import JobState, TakenJob
from services.jobs.worklist import RollUp, Worklist
from tests.support.jobs import SCORED_BY, TIMINGS, lateral, make_job, scored, unread
from tests.support.queue_steps import ROUTINE, assert_nothing_is_left, finish, take_one
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]


async def end(queue: JobQueue, taken: TakenJob, decision: Decision) -> None:
    scored_by = SCORED_BY if decision.outcome.is_scored else None
    assert await queue.finish(taken, decision, model=scored_by, timings=TIMINGS)


async def ended(queue: JobQueue, decision: Decision, **job: object) -> TakenJob:
    """Submit a film and end it so."""
    await queue.submit(make_job(**job))  # type: ignore[arg-type]  # keyword arguments passed on
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await end(queue, taken, decision)
    return taken


async def take_again(queue: JobQueue) -> TakenJob:
    (taken,) = await queue.take("b", count=8, block_ms=0)
    return taken


# -- the act -----------------------------------------------------------------------------------------------------------
async def test_film_scored_again_is_queued_without_outcome_and_ends_anew(queue: JobQueue, redis_client: Redis) -> None:
    first = await ended(queue, scored(flagged=True))
    before = await queue.record(first.job.id)
    record = await queue.rescore(first.job.id)
    assert (record.state, record.outcome, record.probability, record.done_at) == (JobState.QUEUED, None, None, None)
    assert record.attempts == 0
    assert await redis_client.ttl(keys.instance(first.job.id)) == -1, "open films do not expire"
    again = await take_again(queue)
    assert (again.job, again.run, again.crashes, again.tries) == (first.job, 1, 0, 0)
    await end(queue, again, scored(flagged=False))
    assert (await queue.record(first.job.id)).outcome is Outcome.NOT_FLAGGED
    assert await redis_client.hget(keys.instance(first.job.id), "commits") == "1"
    (past,) = await queue.history(first.job.id)
    assert (past.outcome, past.probability, past.model) == (before.outcome, before.probability, before.model)
    assert (past.done_at, past.timings_ms, past.attempts) == (before.done_at, before.timings_ms, 1)
    for key in (keys.instance(first.job.id), keys.history(first.job.id)):
        assert await redis_client.ttl(key) > 30 * 86_400
    await assert_nothing_is_left(redis_client)


async def test_history_keeps_every_decision_oldest_first(queue: JobQueue) -> None:
    film_id = (await ended(queue, scored(flagged=True))).job.id
    for decision in (unread(Reason.BLANK), scored(flagged=False)):
        await queue.rescore(film_id)
        await end(queue, await take_again(queue), decision)
    past = await queue.history(film_id)
    assert [decision.outcome for decision in past] == [Outcome.FLAGGED, Outcome.NOT_ASSESSED]
    assert past[1].reason is Reason.BLANK
    assert past[1].probability is None
    assert past[0].done_at <= past[0].replaced_at <= past[1].done_at
    assert (await queue.record(film_id)).outcome is Outcome.NOT_FLAGGED


async def test_film_scored_once_has_no_history(queue: JobQueue) -> None:
    assert await queue.history((await ended(queue, unread())).job.id) == ()


async def test_order_that_is_repeated_while_the_film_is_open_changes_nothing(queue: JobQueue) -> None:
    film_id = (await ended(queue, unread())).job.id
    first, second = [await queue.rescore(film_id) for _ in range(2)]
    assert first == second
    assert len(await queue.history(film_id)) == 1
    await take_again(queue)
    assert (await queue.rescore(film_id)).state is JobState.RUNNING


async def test_order_whose_reply_was_lost_does_not_open_a_film_that_has_ended_meanwhile(
    queue: JobQueue, redis_client: Redis
) -> None:
    film_id = (await ended(queue, unread())).job.id
    await queue.rescore(film_id)
    await end(queue, await take_again(queue), unread())
    token = await redis_client.hget(keys.instance(film_id), "rescored_by")
    verdict, _ = await queue._run("rescore", film_id, token, 1000, 2**40, 1000)
    assert verdict == "ours"
    assert (await queue.record(film_id)).state is JobState.DONE
    assert len(await queue.history(film_id)) == 1


# -- refused -----------------------------------------------------------------------------------------------------------
async def test_unknown_film_cannot_be_scored_again(queue: JobQueue) -> None:
    with pytest.raises(JobNotFound):
        await queue.rescore("0" * 32)


async def test_film_without_outcome_cannot_be_scored_again(queue: JobQueue) -> None:
    taken = await take_one(queue)
    with pytest.raises(NotRescorable, match="no outcome yet"):
        await queue.rescore(taken.job.id)


async def test_withdrawn_film_is_never_scored_again(queue: JobQueue) -> None:
    taken = await ended(queue, unread(Reason.WITHDRAWN))
    with pytest.raises(NotRescorable, match="withdrawn"):
        await queue.rescore(taken.job.id)


async def test_film_whose_payload_was_removed_cannot_be_scored_again(queue: JobQueue) -> None:
    job = (await ended(queue, unread())).job
    assert await queue.forget_payload(job.id, job.payload)
    with pytest.raises(NotRescorable, match="retention"):
        await queue.rescore(job.id)
    assert (await queue.record(job.id)).reason is Reason.BLANK


async def test_payload_of_a_film_that_is_scored_again_is_not_removed(queue: JobQueue) -> None:
    job = (await ended(queue, unread())).job
    await queue.rescore(job.id)
    assert not await queue.forget_payload(job.id, job.payload)


async def test_film_is_scored_again_only_where_there_is_room_and_counts_like_any_other(redis_client: Redis) -> None:
    queue = JobQueue(redis_client, limits=QueueLimits(routine_depth=1, stat_reserve=0))
    film_id = (await ended(queue, unread())).job.id
    await queue.submit(make_job())
    with pytest.raises(QueueFull):
        await queue.rescore(film_id)
    assert await queue.history(film_id) == ()
    (other,) = await queue.take("a", count=1, block_ms=0)
    await end(queue, other, unread())
    await queue.rescore(film_id)
    job = (await take_again(queue)).job
    assert int(await redis_client.get(keys.OPEN_BYTES)) == job.payload_bytes
    with pytest.raises(QueueFull):
        await queue.submit(make_job())


async def test_redis_out_of_memory_refuses_to_score_again_and_leaves_the_decision(
    mortal_redis_server: RedisServer,
) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        film_id = (await ended(queue, scored(flagged=True))).job.id
        record = await queue.record(film_id)
        await client.config_set("maxmemory", "1")
        with pytest.raises(QueueUnavailable):
            await queue.rescore(film_id)
        assert await queue.record(film_id) == record
        assert await client.zcard(keys.OPEN) == 0


# -- whoever held it before --------------------------------------------------------------------------------------------
async def test_worker_that_held_the_film_before_does_not_end_it_now(queue: JobQueue, redis_client: Redis) -> None:
    zombie = await take_one(queue, "zombie")
    reaped = await queue.reap("b", idle_ms=0)
    assert reaped is not None
    await end(queue, reaped, scored(flagged=True))
    await queue.rescore(zombie.job.id)
    for old in (zombie, reaped):
        assert not await finish(queue, old)
        assert await queue.retry("zombie", old)
        await queue.release("zombie", [old])
    again = await take_again(queue)
    assert (again.job, again.crashes) == (zombie.job, 0), "its crashes were those of the first run"
    for old in (zombie, reaped):
        assert not await finish(queue, old)
    assert (await queue.record(again.job.id)).state is JobState.RUNNING
    assert await finish(queue, again, flagged=False)
    await assert_nothing_is_left(redis_client)


async def test_film_scored_again_is_recovered_like_any_other(queue: JobQueue, redis_client: Redis) -> None:
    film_id = (await ended(queue, unread())).job.id
    await queue.rescore(film_id)
    await take_again(queue)
    await redis_client.xgroup_delconsumer(ROUTINE, keys.GROUP, "b")
    assert await queue.reconcile() == 1
    (again,) = await queue.take("c", count=8, block_ms=0)
    assert (again.job.id, again.run) == (film_id, 1)
    assert await finish(queue, again)


# -- the worklist ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [
        (scored(flagged=True), RollUp.FLAGGED),
        (unread(), RollUp.NOT_ASSESSED),
        (scored(flagged=False), RollUp.PENDING),
    ],
    ids=["flagged", "not_assessed", "not_flagged"],
)
async def test_study_keeps_its_place_until_the_film_is_decided_anew(
    queue: JobQueue, worklist: Worklist, before: Decision, meanwhile: RollUp
) -> None:
    job = (await ended(queue, before, study_uid="1.2.3")).job
    await queue.rescore(job.id)
    study, _ = await worklist.study("default", "1.2.3")
    assert (study.outcome, study.films, study.pending) == (meanwhile, 1, 1)
    await end(queue, await take_again(queue), scored(flagged=False))
    study, _ = await worklist.study("default", "1.2.3")
    assert (study.outcome, study.films, study.pending, study.unread) == (RollUp.NOT_FLAGGED, 1, 0, 0)


async def test_lateral_that_is_scored_again_still_counts_as_one(queue: JobQueue, worklist: Worklist) -> None:
    await ended(queue, scored(flagged=False), study_uid="1.2.3")
    side = await ended(queue, lateral(), study_uid="1.2.3")
    await queue.rescore(side.job.id)
    await end(queue, await take_again(queue), lateral())
    assert (await worklist.study("default", "1.2.3"))[0].outcome is RollUp.NOT_FLAGGED
    await queue.rescore(side.job.id)
    await end(queue, await take_again(queue), unread())
    assert (await worklist.study("default", "1.2.3"))[0].outcome is RollUp.NOT_ASSESSED


async def test_film_that_an_older_version_ended_leaves_true_counters(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    await ended(queue, scored(flagged=False), study_uid="1.2.3")
    for decision in (lateral(), unread(), scored(flagged=True)):
        film_id = (await ended(queue, decision, study_uid="1.2.3")).job.id
        await redis_client.hdel(keys.instance(film_id), "counted", "bytes")
        await queue.rescore(film_id)
        await end(queue, await take_again(queue), scored(flagged=False))
    study, _ = await worklist.study("default", "1.2.3")
    assert (study.outcome, study.films, study.unread) == (RollUp.NOT_FLAGGED, 4, 0)
    assert not await redis_client.exists(keys.OPEN_BYTES)


async def test_older_oblique_film_that_is_taken_for_the_lateral_leaves_true_counters(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    side = (await ended(queue, lateral(), study_uid="1.2.3")).job.id
    oblique = (await ended(queue, unread(Reason.VIEW), study_uid="1.2.3")).job.id
    await redis_client.hdel(keys.instance(oblique), "counted", "bytes")
    for film_id in (oblique, side):
        await queue.rescore(film_id)
        await end(queue, await take_again(queue), scored(flagged=False))
    study, _ = await worklist.study("default", "1.2.3")
    assert (study.outcome, study.films, study.unread) == (RollUp.NOT_FLAGGED, 2, 0)


async def test_film_whose_study_was_lost_is_listed_again(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    film_id = (await ended(queue, scored(flagged=True), study_uid="1.2.3")).job.id
    await redis_client.delete(keys.study("default", "1.2.3"), keys.study_members("default", "1.2.3"))
    await queue.rescore(film_id)
    await end(queue, await take_again(queue), unread())
    study, members = await worklist.study("default", "1.2.3")
    assert (study.outcome, study.films, study.unread, members) == (RollUp.NOT_ASSESSED, 1, 1, (film_id,))


async def test_callers_who_wait_are_told_that_the_film_is_open_again(queue: JobQueue, redis_client: Redis) -> None:
    film_id = (await ended(queue, unread())).job.id
    await queue.rescore(film_id)
    (_, event), *_ = await redis_client.xrevrange(keys.EVENTS, count=1)
    assert (event["id"], event["state"], event["outcome"]) == (film_id, "queued", "")


# -- the ledger's outbox -----------------------------------------------------------------------------------------------
async def test_decision_that_is_not_in_the_ledger_yet_is_still_owed_to_it(queue: JobQueue, redis_client: Redis) -> None:
    film_id = (await ended(queue, scored(flagged=True))).job.id
    await queue.rescore(film_id)
    assert await redis_client.zrange(keys.LEDGER_DUE, 0, -1) == [f"{film_id}:0"]
    kept = json.loads(await redis_client.lindex(keys.history(film_id), 0))
    assert json.loads(kept["result"])["outcome"] == "flagged"
    await end(queue, await take_again(queue), unread())
    assert set(await redis_client.zrange(keys.LEDGER_DUE, 0, -1)) == {film_id, f"{film_id}:0"}


async def test_decision_that_is_in_the_ledger_is_not_owed_again(queue: JobQueue, redis_client: Redis) -> None:
    film_id = (await ended(queue, unread())).job.id
    await redis_client.delete(keys.LEDGER_DUE)
    await queue.rescore(film_id)
    assert await redis_client.zcard(keys.LEDGER_DUE) == 0


# -- dead letters ------------------------------------------------------------------------------------------------------
async def test_dead_films_are_listed_newest_first_page_by_page(queue: JobQueue) -> None:
    reasons = (Reason.WORKER_CRASH, Reason.RETRIES_EXHAUSTED, Reason.PAYLOAD_DIGEST)
    films = [(await ended(queue, unread(reason))).job.id for reason in reasons]
    await ended(queue, unread(Reason.BLANK))
    newest = await queue.dead(limit=2)
    assert [(film.film_id, film.reason) for film in newest] == [(films[2], reasons[2]), (films[1], reasons[1])]
    assert all(film.is_requeueable for film in newest)
    (oldest,) = await queue.dead(limit=2, after=newest[-1].entry)
    assert oldest.film_id == films[0]
    assert oldest.ended_at <= newest[-1].ended_at
    assert await queue.dead(limit=2, after=oldest.entry) == []


async def test_dead_film_is_queued_again_and_no_longer_requeueable_once_it_was(queue: JobQueue) -> None:
    film_id = (await ended(queue, unread(Reason.WORKER_CRASH))).job.id
    assert (await queue.requeue(film_id)).state is JobState.QUEUED
    (listed,) = await queue.dead(limit=9)
    assert not listed.is_requeueable
    await end(queue, await take_again(queue), scored(flagged=True))
    (listed,) = await queue.dead(limit=9)
    assert not listed.is_requeueable
    with pytest.raises(NotRescorable, match="service's fault"):
        await queue.requeue(film_id)


async def test_dead_film_whose_payload_or_record_is_gone_says_so(queue: JobQueue, redis_client: Redis) -> None:
    jobs = [(await ended(queue, unread(Reason.DEADLINE))).job for _ in range(3)]
    assert await queue.forget_payload(jobs[0].id, jobs[0].payload)
    await redis_client.delete(keys.instance(jobs[1].id))
    await redis_client.hset(keys.instance(jobs[2].id), "result", "{")
    assert [film.is_requeueable for film in await queue.dead(limit=9)] == [False, False, False]
    with pytest.raises(NotRescorable):
        await queue.requeue(jobs[0].id)
    with pytest.raises(JobNotFound):
        await queue.requeue(jobs[1].id)
