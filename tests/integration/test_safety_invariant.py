"""The check that ends every row of the bar notices each way in which a record could lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from services.jobs import keys
from services.jobs.queue import JobQueue
from tests.support.invariant import duplicates, leftovers, lost, record_violations, safety_violations
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, scored, unread
from tests.support.redis_server import RedisServer

Break = Callable[[redis.Redis, str], object]


def _in_result(**changes: object) -> Break:
    def apply(client: redis.Redis, key: str) -> None:
        result: dict[str, Any] = json.loads(client.hget(key, "result") or "{}")
        client.hset(key, "result", json.dumps(result | changes))

    return apply


BREAKS_OF_A_SCORED_FILM: dict[str, Break] = {
    "unread with a probability": lambda client, key: (
        client.hset(key, "outcome", "not_assessed"),
        _in_result(outcome="not_assessed", reason="blank")(client, key),
    ),
    "no probability": _in_result(probability=None),
    "probability that is no number": _in_result(probability=float("nan")),
    "probability on the other side of the threshold": _in_result(probability=0.9),
    "no model": _in_result(model=None),
    "a reason": _in_result(reason="blank"),
    "written twice": lambda client, key: client.hincrby(key, "commits", 1),
    "another outcome in its hash": lambda client, key: client.hset(key, "outcome", "flagged"),
    "running with an outcome": lambda client, key: client.hset(key, "state", "running"),
    "no input digest": lambda client, key: client.hset(
        key, "job", json.dumps(json.loads(client.hget(key, "job") or "") | {"sha256": ""})
    ),
    "a roll-up over an unread film": lambda client, key: client.hset(key, "counted", "unread"),
}


@pytest.mark.parametrize("name", BREAKS_OF_A_SCORED_FILM)
async def test_a_scored_film_that_lies_is_noticed(queue: JobQueue, redis_server: RedisServer, name: str) -> None:
    film_id = await _finished(queue, is_scored=True)
    with redis_server.client() as client:
        assert safety_violations(client) == []
        BREAKS_OF_A_SCORED_FILM[name](client, keys.instance(film_id))
        assert safety_violations(client), name


@pytest.mark.parametrize("carried", ["probability", "threshold", "findings"])
async def test_an_unread_film_that_carries_a_score_is_noticed(
    queue: JobQueue, redis_server: RedisServer, carried: str
) -> None:
    film_id = await _finished(queue, is_scored=False)
    with redis_server.client() as client:
        assert safety_violations(client) == []
        _in_result(**{carried: 0.0})(client, keys.instance(film_id))
        assert safety_violations(client)


async def test_films_without_an_outcome_and_what_they_hold_are_counted(
    queue: JobQueue, redis_server: RedisServer
) -> None:
    done, job = await _finished(queue, is_scored=True), make_job()
    await queue.submit(job)
    with redis_server.client() as client:
        assert lost(client, [done, job.id, "0" * 32]) == [job.id, "0" * 32]
        assert duplicates(client) == []
        left = leftovers(client)
        held = {"entries_routine": 1, "open": 1, "open_bytes": job.payload_bytes, "open_of_sites": 1}
        assert left == dict.fromkeys(left, 0) | held
        await queue.take("a", count=1, block_ms=0)
        assert leftovers(client)["pending_routine"] == 1


async def test_a_record_of_the_gateway_is_held_to_the_same(queue: JobQueue) -> None:
    record = (await queue.record(await _finished(queue, is_scored=True))).model_dump(mode="json")
    assert record_violations(record) == []
    assert record_violations(record | {"outcome": "not_assessed", "reason": "blank"})
    assert record_violations(record | {"probability": None})
    assert record_violations(record | {"sha256": ""})


async def _finished(queue: JobQueue, *, is_scored: bool) -> str:
    job = make_job()
    await queue.submit(job)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    decision = scored(flagged=False) if is_scored else unread()
    await queue.finish(taken, decision, model=SCORED_BY if is_scored else None, timings=TIMINGS)
    return job.id
