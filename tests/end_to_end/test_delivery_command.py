"""``cxr-triage delivery`` as an operator's shell sees it: what targets have not got, and another chance for it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.queue import JobQueue
from tests.support.command_line import cxr_triage
from tests.support.gateway import environment
from tests.support.ledger import entries_in
from tests.support.queue_steps import finish, take_one
from tests.support.redis_server import RedisServer

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def delivery(tmp_path: Path, redis_server: RedisServer) -> Run:
    told = environment(redis_url=redis_server.url, audit_directory=tmp_path / "audit")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return cxr_triage("delivery", *arguments, settings=told)

    return run


@pytest.fixture
def outbox(redis_client: Redis) -> DeliveryOutbox:
    return DeliveryOutbox(redis_client)


async def give_up(queue: JobQueue, outbox: DeliveryOutbox, *, count: int) -> list[str]:
    """Have films decided, and given up for the target ``pacs``; return the names of the letters."""
    await outbox.announce(["pacs"])
    for _ in range(count):
        await finish(queue, await take_one(queue))
    leased = await outbox.lease("pacs", count=count)
    for owed in leased:
        await outbox.dead(owed, reason="http_409")
    return [owed.member for owed in leased]


async def test_dead_letters_are_listed_requeued_and_the_trail_says_by_whom(
    queue: JobQueue, outbox: DeliveryOutbox, delivery: Run, tmp_path: Path
) -> None:
    letters = await give_up(queue, outbox, count=3)
    (target,) = [json.loads(line) for line in delivery("list", "--json").stdout.splitlines()]
    assert target == {"target": "pacs", "state": "served", "owed": 0, "oldest_seconds": None, "dead": 3}
    listed = [json.loads(line) for line in delivery("list", "pacs", "--json").stdout.splitlines()]
    assert {row["letter"] for row in listed} == set(letters)
    assert {(row["reason"], row["attempts"], row["commit"]) for row in listed} == {("http_409", 1, 1)}
    assert {row["payload"] for row in listed} == {"kept"}
    assert delivery("list", "pacs", "--limit", "1").stdout.count("http_409") == 1

    answer = delivery("requeue", "pacs", letters[0], "0:1")
    assert (answer.returncode, answer.stdout) == (3, "1 on their way again, 1 refused\n"), answer.stderr
    answer = delivery("requeue", "pacs", "--all")
    assert (answer.returncode, answer.stdout) == (0, "2 on their way again, 0 refused\n"), answer.stderr
    assert {owed.attempts for owed in await outbox.lease("pacs", count=10)} == {0}
    counted = [entry["count"] for entry in entries_in(tmp_path / "audit") if entry["event"] == "resent"]
    assert sorted(counted) == [1, 2]


async def test_target_that_is_disabled_is_shown_so_and_served_again_once_it_is_enabled(
    queue: JobQueue, outbox: DeliveryOutbox, delivery: Run, tmp_path: Path
) -> None:
    await outbox.announce(["pacs"])
    await finish(queue, await take_one(queue))
    await outbox.disable("pacs", reason="gone")
    assert "disabled (gone)" in delivery("list").stdout
    assert await outbox.lease("pacs", count=1) == []
    answer = delivery("enable", "pacs")
    assert (answer.returncode, answer.stdout) == (0, "pacs is served again\n"), answer.stderr
    assert len(await outbox.lease("pacs", count=1)) == 1
    assert delivery("enable", "pacs").returncode == 3
    assert [entry["target"] for entry in entries_in(tmp_path / "audit") if entry["event"] == "target_enabled"] == [
        "pacs"
    ]


async def test_dead_letter_of_a_film_past_retention_is_shown_so_and_its_requeue_says_what_it_cannot_do(
    queue: JobQueue, outbox: DeliveryOutbox, delivery: Run, redis_client: Redis
) -> None:
    (letter,) = await give_up(queue, outbox, count=1)
    await redis_client.hdel(keys.instance(letter.partition(":")[0]), "payload")
    (listed,) = [json.loads(line) for line in delivery("list", "pacs", "--json").stdout.splitlines()]
    assert listed["payload"] == "gone"
    answer = delivery("requeue", "pacs", letter)
    assert (answer.returncode, answer.stdout) == (
        0,
        "1 on their way again, 0 refused\n"
        "1 of them are of films past retention: no report or overlay can be made of these\n",
    ), answer.stderr


async def test_target_that_the_file_names_no_more_is_forgotten_and_one_that_is_served_is_not(
    queue: JobQueue, outbox: DeliveryOutbox, delivery: Run, tmp_path: Path
) -> None:
    await give_up(queue, outbox, count=1)
    await finish(queue, await take_one(queue))
    answer = delivery("forget", "pacs")
    assert answer.returncode == 3
    assert answer.stderr.startswith("cxr-triage delivery forget: pacs is served: take it out of the targets file")
    await outbox.announce(["hook"])
    answer = delivery("forget", "pacs")
    assert (answer.returncode, answer.stdout) == (
        0,
        "pacs is forgotten, with 1 results that it was owed and 1 dead letters\n",
    ), answer.stderr
    assert [standing.name for standing in await outbox.standings()] == ["hook"]
    forgotten = [entry for entry in entries_in(tmp_path / "audit") if entry["event"] == "target_forgotten"]
    assert [(entry["target"], entry["count"]) for entry in forgotten] == [("pacs", 2)]


async def test_wrong_usage_is_one_line(outbox: DeliveryOutbox, delivery: Run) -> None:
    await outbox.announce(["pacs"])
    answer = delivery("requeue", "pacs")
    assert (answer.returncode, answer.stderr) == (
        2,
        "cxr-triage delivery requeue: name dead letters, or give --all\n",
    )
    for words in (("list", "nobody"), ("requeue", "nobody", "--all"), ("enable", "nobody"), ("forget", "nobody")):
        answer = delivery(*words)
        assert (answer.returncode, answer.stderr) == (3, "cxr-triage delivery: no target nobody\n")
