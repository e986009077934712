"""A film's decisions over HTTP: an admin has it scored again, and everybody who reads it sees what it was before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from model.decision import Decision
from model.errors import Reason
from services.api.scopes import Role
from services.jobs.ledger.entries import AuditEvent
from services.jobs.queue import JobQueue
from tests.support.access import make_key
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.jobs import SCORED_BY, TIMINGS, scored, unread
from tests.support.redis_server import RedisServer

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def keys_and_gateway(
    shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, str], GatewayProcess]]:
    directory = tmp_path_factory.mktemp("gateway")
    file = directory / "keys.json"
    keys = {
        "admin": make_key(file, Role.ADMIN),
        "everyday": make_key(file),
        "sender": make_key(file, Role.SUBMIT),
        "north": make_key(file, Role.ADMIN, sites=["north"]),
    }
    process = GatewayProcess(
        directory,
        redis_url=shared_redis_server.url,
        api_keys_file=file,
        api_routine_depth=4,
        api_stat_reserve=0,
        api_site_share=0.5,
    )
    process.wait_ready()
    yield keys, process
    assert process.stop() == 0, process.output[-3000:]
    assert "request failed" not in process.output


def send(client: httpx.Client, seed: int, **params: str) -> httpx.Response:
    return client.post("/v1/instances", content=png_film(seed=seed), headers=PNG, params=params)


async def decide(queue: JobQueue, decision: Decision) -> None:
    """Play the worker."""
    (taken,) = await queue.take("test", count=8, block_ms=0)
    scored_by = SCORED_BY if decision.outcome.is_scored else None
    assert await queue.finish(taken, decision, model=scored_by, timings=TIMINGS)


def is_noted(trail: Path, event: AuditEvent) -> bool:
    return any(f'"{event}"' in file.read_text() for file in trail.rglob("*") if file.is_file())


async def test_admin_has_a_film_scored_again_and_its_readers_see_both_decisions(
    clients: dict[str, httpx.Client], worker_queue: JobQueue, gateway: GatewayProcess
) -> None:
    film = send(clients["everyday"], 1).json()
    here = film["links"]["self"]
    assert clients["everyday"].get(f"{here}/decisions").json() == {"id": film["id"], "decisions": []}
    await decide(worker_queue, unread(Reason.WORKER_CRASH))
    before = clients["everyday"].get(here).json()

    answer = clients["admin"].post(f"{here}/rescore")
    assert answer.status_code == 202
    assert answer.headers["location"] == here
    assert (answer.json()["state"], answer.json()["outcome"]) == ("queued", None)
    assert clients["everyday"].get(here).json() == answer.json()

    await decide(worker_queue, scored(flagged=True))
    after = clients["everyday"].get(here).json()
    assert (after["outcome"], after["reason"]) == ("flagged", None)
    (past,) = clients["everyday"].get(f"{here}/decisions").json()["decisions"]
    assert (past["outcome"], past["reason"], past["probability"]) == ("not_assessed", "worker_crash", None)
    assert past["done_at"] == before["done_at"]
    first, replaced, second = (
        datetime.fromisoformat(moment) for moment in (past["done_at"], past["replaced_at"], after["done_at"])
    )
    assert first < replaced < second
    trail = gateway.spool_directory.parent / "audit"
    wait_until(lambda: is_noted(trail, AuditEvent.RESCORED), what="the entry in the audit trail")


async def test_only_an_admin_may_order_it_and_senders_do_not_read_decisions(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    here = send(clients["sender"], 2).json()["links"]["self"]
    await decide(worker_queue, unread())
    for name in ("everyday", "sender"):
        assert clients[name].post(f"{here}/rescore").status_code == 403
    assert clients["sender"].get(f"{here}/decisions").status_code == 403


async def test_film_of_another_site_does_not_exist(clients: dict[str, httpx.Client], worker_queue: JobQueue) -> None:
    here = send(clients["admin"], 3, site="south").json()["links"]["self"]
    await decide(worker_queue, unread())
    for answer in (clients["north"].post(f"{here}/rescore"), clients["north"].get(f"{here}/decisions")):
        assert (answer.status_code, answer.json()["code"]) == (404, "instance_not_found")
    assert clients["admin"].get(here).json()["state"] == "done"


async def test_film_that_cannot_be_scored_again_says_why(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    admin = clients["admin"]
    film = send(admin, 4).json()
    here = film["links"]["self"]
    is_open = admin.post(f"{here}/rescore")
    assert (is_open.status_code, is_open.json()["code"]) == (409, "not_rescorable")
    await decide(worker_queue, unread(Reason.WITHDRAWN))
    assert admin.post(f"{here}/rescore").status_code == 409
    assert admin.post(f"/v1/instances/{'0' * 32}/rescore").status_code == 404
    assert admin.post(f"{here}/rescore", params={"force": "1"}).status_code == 422


async def test_full_backlog_takes_no_film_a_second_time(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    here = send(clients["everyday"], 5).json()["links"]["self"]
    await decide(worker_queue, unread())
    for seed in range(6, 10):
        assert send(clients["everyday"], seed).status_code == 202
    answer = clients["admin"].post(f"{here}/rescore")
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert clients["admin"].get(here).json()["state"] == "done"


def test_one_of_several_sites_is_told_that_its_share_is_used(clients: dict[str, httpx.Client]) -> None:
    assert send(clients["admin"], 20, site="south").status_code == 202
    for seed in (21, 22):
        assert send(clients["north"], seed).status_code == 202
    answer = send(clients["north"], 23)
    assert (answer.status_code, answer.json()["code"]) == (429, "site_share_used")
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert send(clients["admin"], 24, site="south").status_code == 202
