"""What is decided is owed to every announced target until it is there, whoever dies in between."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from model.decision import Decision, Outcome
from model.errors import Reason
from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.delivery_outbox import UNREADABLE, DeliveryOutbox
from services.jobs.queue import JobQueue
from services.jobs.records import Job
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, scored, unread
from tests.support.queue_steps import backdate, deadline
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = [pytest.mark.bar, pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)]

PACS, HOOK = "pacs", "hook"


@pytest.fixture
async def outbox(redis_client: Redis) -> DeliveryOutbox:
    outbox = DeliveryOutbox(redis_client)
    await outbox.announce([PACS])
    return outbox


async def decide(queue: JobQueue, decision: Decision, job: Job | None = None) -> Job:
    """Submit a film, or take one that is open again, and end it so."""
    if job is None:
        await queue.submit(make_job())
    (taken,) = await queue.take("a", count=1, block_ms=0)
    scored_by = SCORED_BY if decision.outcome.is_scored else None
    assert await queue.finish(taken, decision, model=scored_by, timings=TIMINGS)
    return taken.job


async def end_lease(redis: Redis, target: str, member: str) -> None:
    """Let Redis think that a lease, or a wait, is over."""
    await redis.zadd(keys.delivery("due", target), {member: 1})


# -- what is owed ------------------------------------------------------------------------------------------------------
async def test_nothing_is_written_while_no_target_is_announced(queue: JobQueue, redis_client: Redis) -> None:
    await decide(queue, scored(flagged=True))
    assert [key async for key in redis_client.scan_iter(f"{keys.TAG}:deliver:*")] == []
    outbox = DeliveryOutbox(redis_client)
    await outbox.announce([PACS])
    assert await outbox.lease(PACS, count=9) == [], "films of before the first target are not sent"


async def test_decision_is_owed_once_with_all_that_its_report_needs(queue: JobQueue, outbox: DeliveryOutbox) -> None:
    job = await decide(queue, scored(flagged=True))
    (owed,) = await outbox.lease(PACS, count=9)
    assert (owed.target, owed.member, owed.film_id, owed.commit) == (PACS, f"{job.id}:1", job.id, 1)
    assert (owed.job, owed.record, owed.past, owed.attempts) == (job, await queue.record(job.id), (), 0)
    assert owed.owed_since_ms <= owed.now_ms < owed.leased_ms
    assert await outbox.lease(PACS, count=9) == [], "it is in somebody's hands"
    await outbox.delivered(owed)
    await outbox.delivered(owed)
    (standing,) = await outbox.standings()
    assert (standing.due, standing.dead, standing.oldest_owed_ms) == (0, 0, None)


async def test_every_end_of_a_film_is_owed(queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis) -> None:
    waits, late = make_job(), make_job(submitted_ms=1)
    for job in (waits, late):
        await queue.submit(job)
    await queue.withdraw(waits.id)
    await backdate(redis_client, late.id, seconds=10**6)
    assert await queue.expire(deadline(1000)) == 1
    reasons = {owed.film_id: owed.record.reason for owed in await outbox.lease(PACS, count=9)}
    assert reasons == {waits.id: Reason.WITHDRAWN, late.id: Reason.DEADLINE}


async def test_each_target_is_owed_by_itself(queue: JobQueue, outbox: DeliveryOutbox) -> None:
    await outbox.announce([PACS, HOOK])
    await decide(queue, scored(flagged=False))
    for target in (PACS, HOOK):
        (owed,) = await outbox.lease(target, count=1)
        await outbox.delivered(owed)
    assert [standing.due for standing in await outbox.standings()] == [0, 0]


async def test_target_that_is_announced_no_more_keeps_what_it_is_owed_and_gets_nothing_new(
    queue: JobQueue, outbox: DeliveryOutbox
) -> None:
    first = await decide(queue, scored(flagged=False))
    await outbox.announce([HOOK])
    await decide(queue, scored(flagged=False))
    standings = {standing.name: (standing.is_announced, standing.due) for standing in await outbox.standings()}
    assert standings == {PACS: (False, 1), HOOK: (True, 1)}
    await outbox.announce([PACS])
    assert [owed.film_id for owed in await outbox.lease(PACS, count=9)] == [first.id]


async def test_target_that_is_gone_is_forgotten_when_nothing_that_it_was_owed_has_a_record(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis
) -> None:
    jobs = [await decide(queue, scored(flagged=False)) for _ in range(2)]
    (owed,) = await outbox.lease(PACS, count=1)
    await outbox.dead(owed, reason="refused")
    await outbox.disable(PACS, reason="gone")
    for part in ("due", "since", "dead"):
        key = keys.delivery(part, PACS)
        members: Any = await redis_client.zrange(key, 0, -1)
        for member in members:
            await redis_client.zincrby(key, -32 * 86_400_000, member)
    await outbox.announce([PACS])
    assert (await redis_client.zcard(keys.delivery("due", PACS))) == 1, "who is announced learns of it by the lease"
    await outbox.announce([HOOK])
    assert [standing.name for standing in await outbox.standings()] == [HOOK]
    assert [key async for key in redis_client.scan_iter(f"{keys.TAG}:deliver:*:{PACS}")] == []
    assert len(await queue.records([job.id for job in jobs])) == 2


async def test_longest_due_comes_first_and_no_more_than_asked(queue: JobQueue, outbox: DeliveryOutbox) -> None:
    jobs = [await decide(queue, scored(flagged=False)) for _ in range(5)]
    first, second = [await outbox.lease(PACS, count=n) for n in (2, 9)]
    # Decisions of one millisecond stand in no order.
    assert (len(first), len(second)) == (2, 3)
    assert {owed.film_id for owed in first + second} == {job.id for job in jobs}
    assert max(owed.owed_since_ms for owed in first) <= min(owed.owed_since_ms for owed in second)


# -- the latest decision only ------------------------------------------------------------------------------------------
async def test_later_decision_takes_the_place_of_one_that_nobody_sends(queue: JobQueue, outbox: DeliveryOutbox) -> None:
    job = await decide(queue, scored(flagged=True))
    await queue.rescore(job.id)
    await decide(queue, unread(), job)
    (owed,) = await outbox.lease(PACS, count=9)
    assert (owed.commit, owed.record.outcome) == (2, Outcome.NOT_ASSESSED)
    assert [past.outcome for past in owed.past] == [Outcome.FLAGGED]
    await outbox.delivered(owed)
    (standing,) = await outbox.standings()
    assert (standing.due, standing.oldest_owed_ms) == (0, None)


async def test_film_that_is_scored_again_is_told_as_it_was_until_it_has_been(
    queue: JobQueue, outbox: DeliveryOutbox
) -> None:
    job = await decide(queue, scored(flagged=True))
    before = await queue.record(job.id)
    await queue.rescore(job.id)
    (owed,) = await outbox.lease(PACS, count=9)
    assert (owed.commit, owed.record) == (1, before)


@pytest.mark.parametrize("step", ["delivered", "dead", "later", "give_back"])
async def test_withdrawal_waits_while_somebody_sends_what_it_takes_back_and_no_longer(
    queue: JobQueue, outbox: DeliveryOutbox, step: str
) -> None:
    job = await decide(queue, scored(flagged=True))
    (first,) = await outbox.lease(PACS, count=9)
    await queue.withdraw(job.id)
    assert await outbox.lease(PACS, count=9) == [], "it would be overtaken"
    arguments: dict[str, dict[str, Any]] = {
        "dead": {"reason": "refused"},
        "later": {"reason": "unreachable", "wait_ms": 60_000},
    }
    await getattr(outbox, step)(first, **arguments.get(step, {}))
    (owed,) = await outbox.lease(PACS, count=9)
    assert (owed.commit, owed.record.reason) == (2, Reason.WITHDRAWN)
    assert [past.outcome for past in owed.past] == [Outcome.FLAGGED]
    await outbox.delivered(owed)
    assert [standing.due for standing in await outbox.standings()] == [0]


async def test_withdrawal_waits_no_longer_than_the_lease_of_a_process_that_died(
    queue: JobQueue, redis_client: Redis, outbox: DeliveryOutbox
) -> None:
    job = await decide(queue, scored(flagged=True))
    (zombie,) = await outbox.lease(PACS, count=9)
    await queue.withdraw(job.id)
    assert await outbox.lease(PACS, count=9) == []
    assert await redis_client.zscore(keys.delivery("due", PACS), f"{job.id}:2") == zombie.leased_ms


# -- what goes wrong ---------------------------------------------------------------------------------------------------
async def test_process_that_dies_with_a_decision_has_it_sent_by_another(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis
) -> None:
    await decide(queue, scored(flagged=True))
    (zombie,) = await outbox.lease(PACS, count=9)
    await end_lease(redis_client, PACS, zombie.member)
    brief = DeliveryOutbox(redis_client, lease_ms=60_000)
    (owed,) = await brief.lease(PACS, count=9)
    assert (owed.member, owed.attempts) == (zombie.member, 0)
    for step in (
        outbox.later(zombie, wait_ms=0, reason="x"),
        outbox.give_back(zombie),
        outbox.dead(zombie, reason="x"),
    ):
        await step
    assert await outbox.lease(PACS, count=9) == [], "a lease that is over changes nothing"
    assert await outbox.dead_letters(PACS, limit=9) == []


async def test_failed_attempt_is_counted_once_and_waits(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis
) -> None:
    await decide(queue, scored(flagged=True))
    (first,) = await outbox.lease(PACS, count=9)
    for _ in range(2):
        await outbox.later(first, wait_ms=600_000, reason="unreachable")
    assert await outbox.lease(PACS, count=9) == []
    await end_lease(redis_client, PACS, first.member)
    (second,) = await outbox.lease(PACS, count=9)
    assert (second.attempts, second.owed_since_ms) == (1, first.owed_since_ms)


async def test_decision_that_is_given_back_is_due_at_once_unharmed(queue: JobQueue, outbox: DeliveryOutbox) -> None:
    await decide(queue, scored(flagged=True))
    (first,) = await outbox.lease(PACS, count=9)
    await outbox.give_back(first)
    (second,) = await outbox.lease(PACS, count=9)
    assert second.attempts == 0


async def test_what_is_given_up_is_listed_and_sent_when_somebody_wants_it(
    queue: JobQueue, outbox: DeliveryOutbox
) -> None:
    jobs = [await decide(queue, scored(flagged=True)) for _ in range(2)]
    for owed in await outbox.lease(PACS, count=9):
        await outbox.dead(owed, reason="refused")
    assert await outbox.lease(PACS, count=9) == []
    letters = await outbox.dead_letters(PACS, limit=9)
    assert {letter.film_id for letter in letters} == {job.id for job in jobs}
    assert all((letter.reason, letter.attempts, letter.commit) == ("refused", 1, 1) for letter in letters)
    assert all(letter.owed_since_ms is not None and letter.owed_since_ms <= letter.dead_ms for letter in letters)
    (standing,) = await outbox.standings()
    assert (standing.due, standing.dead, standing.oldest_owed_ms) == (0, 2, None)
    assert (await outbox.requeue(PACS, [f"{jobs[0].id}:1", "0" * 32 + ":1"])).count == 1
    assert (await outbox.requeue(PACS, [])).count == 0
    assert (await outbox.requeue(PACS)).count == 1
    assert {owed.attempts for owed in await outbox.lease(PACS, count=9)} == {0}
    assert await outbox.dead_letters(PACS, limit=9) == []


async def test_dead_letter_that_a_later_decision_replaced_is_not_sent_again(
    queue: JobQueue, outbox: DeliveryOutbox
) -> None:
    job = await decide(queue, scored(flagged=True))
    (owed,) = await outbox.lease(PACS, count=9)
    await outbox.dead(owed, reason="refused")
    await queue.withdraw(job.id)
    await outbox.requeue(PACS)
    assert [owed.commit for owed in await outbox.lease(PACS, count=9)] == [2]


async def test_record_that_is_gone_or_damaged_keeps_nobody_waiting_and_is_seen(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis
) -> None:
    gone, damaged, sound = [await decide(queue, scored(flagged=True)) for _ in range(3)]
    await redis_client.delete(keys.instance(gone.id))
    await redis_client.hset(keys.instance(damaged.id), "result", "{")
    assert [owed.film_id for owed in await outbox.lease(PACS, count=9)] == [sound.id]
    letters = {letter.film_id: letter.reason for letter in await outbox.dead_letters(PACS, limit=9)}
    assert letters == {gone.id: "record_expired", damaged.id: UNREADABLE}


async def test_disabled_target_gets_nothing_until_it_is_enabled_and_loses_nothing(
    queue: JobQueue, outbox: DeliveryOutbox
) -> None:
    await outbox.disable(PACS, reason="gone")
    job = await decide(queue, scored(flagged=True))
    assert await outbox.lease(PACS, count=9) == []
    assert [(standing.disabled_reason, standing.due) for standing in await outbox.standings()] == [("gone", 1)]
    assert await outbox.enable(PACS)
    assert not await outbox.enable(PACS)
    assert [owed.film_id for owed in await outbox.lease(PACS, count=9)] == [job.id]


async def test_clock_that_went_back_delays_nothing_for_long(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis
) -> None:
    job = await decide(queue, scored(flagged=True))
    await redis_client.zincrby(keys.delivery("due", PACS), 10**9, f"{job.id}:1")
    assert [owed.film_id for owed in await outbox.lease(PACS, count=9)] == [job.id]


async def test_film_can_be_finished_and_its_delivery_settled_while_redis_is_out_of_memory(
    mortal_redis_server: RedisServer,
) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        queue, outbox = JobQueue(client), DeliveryOutbox(client)
        await outbox.announce([PACS])
        await queue.submit(make_job())
        await client.config_set("maxmemory", "1")
        (taken,) = await queue.take("a", count=1, block_ms=0)
        assert await queue.finish(taken, scored(flagged=True), model=SCORED_BY, timings=TIMINGS)
        (owed,) = await outbox.lease(PACS, count=9)
        await outbox.later(owed, wait_ms=0, reason="unreachable")
        (owed,) = await outbox.lease(PACS, count=9)
        await outbox.delivered(owed)
        assert [standing.due for standing in await outbox.standings()] == [0]


# -- payloads ----------------------------------------------------------------------------------------------------------
async def test_payload_waits_for_targets_that_are_away_and_for_operators_but_not_for_ever(
    queue: JobQueue, outbox: DeliveryOutbox, redis_client: Redis
) -> None:
    job = await decide(queue, scored(flagged=True))
    assert not await queue.forget_payload(job.id, job.payload)
    (owed,) = await outbox.lease(PACS, count=9)
    await outbox.dead(owed, reason="refused")
    assert not await queue.forget_payload(job.id, job.payload), "an operator may mend the target, and have it sent"
    await redis_client.hincrby(keys.instance(job.id), "done_ms", -72 * 3_600_000)
    assert await queue.forget_payload(job.id, job.payload), "or a dead target would fill the spool"


async def test_payload_that_every_target_has_may_go(queue: JobQueue, outbox: DeliveryOutbox) -> None:
    job = await decide(queue, scored(flagged=True))
    (owed,) = await outbox.lease(PACS, count=9)
    await outbox.delivered(owed)
    assert await queue.forget_payload(job.id, job.payload)
