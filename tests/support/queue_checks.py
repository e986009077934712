"""Promises that no order of events shows, each as a check of the queue with given scripts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from redis.asyncio import Redis

from model.errors import Reason
from services.jobs import keys
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.errors import QueueUnavailable, SiblingUnseen
from services.jobs.queue import JobQueue
from services.jobs.records import Job, JobState, Priority
from tests.support.jobs import make_job
from tests.support.queue_steps import deadline, finish, take_one

Check = Callable[[JobQueue, Redis], Awaitable[None]]
DeliveryCheck = Callable[[JobQueue, DeliveryOutbox], Awaitable[None]]


async def held_films_can_be_finished_while_redis_is_out_of_memory(queue: JobQueue, client: Redis) -> None:
    taken = await take_one(queue)
    await client.config_set("maxmemory", "1")
    try:
        is_first = await finish(queue, taken)
    except QueueUnavailable as error:
        raise AssertionError("a held film cannot be finished") from error
    finally:
        await client.config_set("maxmemory", "0")
    assert is_first
    assert (await queue.record(taken.job.id)).state is JobState.DONE


async def redis_out_of_memory_refuses_submits_whole(queue: JobQueue, client: Redis) -> None:
    await queue.submit(make_job())
    names = set(await client.keys("*"))
    await client.config_set("maxmemory", "1")
    try:
        await queue.submit(make_job())
    except QueueUnavailable:
        assert set(await client.keys("*")) == names
    else:
        raise AssertionError("a film was accepted")
    finally:
        await client.config_set("maxmemory", "0")


async def routine_gets_its_share_under_a_flood_of_stat(queue: JobQueue, client: Redis) -> None:
    for priority in (Priority.ROUTINE, *[Priority.STAT] * 16):
        await queue.submit(make_job(priority=priority))
    taken = await queue.take("a", count=8, block_ms=0)
    assert [one.job.priority for one in taken].count(Priority.ROUTINE) == 1
    assert await client.xlen(keys.queue(Priority.STAT)) == 16


async def one_wrong_clock_ends_nothing(queue: JobQueue, client: Redis) -> None:
    job = make_job()
    await queue.submit(job)
    await client.zincrby(keys.OPEN, -(10**8), job.id)
    assert await queue.expire(deadline(3600)) == 0


async def suspects_run_alone(queue: JobQueue, client: Redis) -> None:
    await take_one(queue, "dead")
    suspect = await queue.reap("b", idle_ms=0)
    assert suspect is not None
    assert await queue.retry("b", suspect)
    await client.zadd(keys.RETRY, {suspect.job.id: 0})
    await queue.promote()
    innocent = make_job()
    await queue.submit(innocent)
    assert [taken.job for taken in await queue.take("c", count=8, block_ms=0)] == [innocent]


async def no_worker_suspects_itself(queue: JobQueue, client: Redis) -> None:
    taken = await take_one(queue)
    assert not await queue.has_suspects("a", idle_ms=0, holding=[taken.job.id])


async def zombie_puts_nothing_off(queue: JobQueue, client: Redis) -> None:
    taken = await take_one(queue, "zombie")
    reaped = await queue.reap("b", idle_ms=0)
    assert reaped is not None
    assert await queue.retry("zombie", taken)
    assert await client.zcard(keys.RETRY) == 0
    assert (await queue.record(taken.job.id)).state is JobState.RUNNING


async def release_burns_no_attempt(queue: JobQueue, client: Redis) -> None:
    taken = await take_one(queue)
    await queue.release("a", [taken])
    assert (await queue.record(taken.job.id)).attempts == 0
    assert await client.zcard(keys.RETRY) == 0


async def reconcile_leaves_a_healthy_queue_alone(queue: JobQueue, client: Redis) -> None:
    await take_one(queue)
    assert await queue.reconcile() == 0
    assert await client.xlen(keys.queue(Priority.ROUTINE)) == 1


def _of_one_object(*, submitted_ms: int | None = None) -> Job:
    return replace(make_job(submitted_ms=submitted_ms), sop_instance_uid="1.2.3")


async def an_object_becomes_no_second_film_unseen(queue: JobQueue, client: Redis) -> None:
    await queue.submit(_of_one_object())
    try:
        await queue.submit(_of_one_object())
    except SiblingUnseen:
        return
    raise AssertionError("nobody has compared the two")


async def films_of_an_object_come_back_from_the_spool_in_their_order(queue: JobQueue, client: Redis) -> None:
    first, second = (_of_one_object(submitted_ms=submitted_ms) for submitted_ms in (1000, 2000))
    try:
        for job in (second, first):
            assert (await queue.resubmit(job)).is_new
    except SiblingUnseen as error:
        raise AssertionError("what was accepted before is asked once more") from error
    assert await client.zrevrange(keys.sop("default", "1.2.3"), 0, -1) == [second.id, first.id]


async def an_object_is_known_as_long_as_its_film(queue: JobQueue, client: Redis) -> None:
    job = _of_one_object()
    await queue.submit(job)
    await client.expire(keys.sop("default", "1.2.3"), 60)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await finish(queue, taken)
    assert await client.ttl(keys.sop("default", "1.2.3")) >= await client.ttl(keys.instance(job.id))


async def an_object_is_known_while_its_film_is_scored_again(queue: JobQueue, client: Redis) -> None:
    job = _of_one_object()
    await queue.submit(job)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    await finish(queue, taken)
    await client.expire(keys.sop("default", "1.2.3"), 60)
    await queue.rescore(job.id)
    assert await client.ttl(keys.sop("default", "1.2.3")) > 30 * 86_400


async def an_object_that_was_rejected_before_it_comes_is_withdrawn(queue: JobQueue, client: Redis) -> None:
    await queue.withdraw_objects("default", [("1.2", "1.2.3")])
    assert (await queue.submit(_of_one_object())).record.reason is Reason.WITHDRAWN


async def a_film_is_withdrawn_once_and_leaves_its_study_with_its_past(queue: JobQueue, client: Redis) -> None:
    job, other = (make_job(study_uid="1.2") for _ in range(2))
    for one in (job, other):
        await queue.submit(one)
    for taken in await queue.take("a", count=2, block_ms=0):
        await finish(queue, taken)
    assert [(await queue.withdraw(job.id)).is_first for _ in range(2)] == [True, False]
    assert len(await queue.history(job.id)) == 1
    assert await client.hmget(keys.study("default", "1.2"), ["films", "pending", "not_flagged"]) == ["1", "0", "1"]


async def nothing_overtakes_what_somebody_sends(queue: JobQueue, outbox: DeliveryOutbox) -> None:
    await outbox.announce(["pacs"])
    taken = await take_one(queue)
    await finish(queue, taken)
    assert len(await outbox.lease("pacs", count=9)) == 1
    await queue.withdraw(taken.job.id)
    assert await outbox.lease("pacs", count=9) == []


async def what_was_delivered_is_owed_no_more(queue: JobQueue, outbox: DeliveryOutbox) -> None:
    await outbox.announce(["pacs"])
    await finish(queue, await take_one(queue))
    (owed,) = await outbox.lease("pacs", count=9)
    await outbox.delivered(owed)
    assert [standing.oldest_owed_ms for standing in await outbox.standings()] == [None]


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        held_films_can_be_finished_while_redis_is_out_of_memory,
        redis_out_of_memory_refuses_submits_whole,
        routine_gets_its_share_under_a_flood_of_stat,
        one_wrong_clock_ends_nothing,
        suspects_run_alone,
        no_worker_suspects_itself,
        zombie_puts_nothing_off,
        release_burns_no_attempt,
        reconcile_leaves_a_healthy_queue_alone,
        an_object_becomes_no_second_film_unseen,
        films_of_an_object_come_back_from_the_spool_in_their_order,
        an_object_is_known_as_long_as_its_film,
        an_object_is_known_while_its_film_is_scored_again,
        an_object_that_was_rejected_before_it_comes_is_withdrawn,
        a_film_is_withdrawn_once_and_leaves_its_study_with_its_past,
    )
}

DELIVERY_CHECKS: Mapping[str, DeliveryCheck] = {
    check.__name__: check for check in (nothing_overtakes_what_somebody_sends, what_was_delivered_is_owed_no_more)
}
