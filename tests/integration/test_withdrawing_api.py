"""Films taken back over HTTP: by whoever may send films of their site; nothing is erased."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from pydicom.uid import generate_uid

from model.decision import Decision
from services.api.scopes import Role
from services.jobs.queue import JobQueue
from tests.support.access import make_key
from tests.support.films import dicom_film, png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.jobs import SCORED_BY, TIMINGS, scored, unread
from tests.support.ledger import entries_in
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
        "reader": make_key(file, Role.READ),
        "sender": make_key(file, Role.SUBMIT),
        "north": make_key(file, Role.SUBMIT, sites=["north"]),
    }
    process = GatewayProcess(directory, redis_url=shared_redis_server.url, api_keys_file=file)
    process.wait_ready()
    yield keys, process
    assert process.stop() == 0, process.output[-3000:]
    assert "request failed" not in process.output


def send(client: httpx.Client, seed: int, **params: str) -> str:
    """Send a film; return where its record is."""
    answer = client.post("/v1/instances", content=png_film(seed=seed), headers=PNG, params=params)
    assert answer.is_success, answer.text
    return str(answer.json()["links"]["self"])


async def decide(queue: JobQueue, decision: Decision) -> None:
    (taken,) = await queue.take("test", count=8, block_ms=0)
    scored_by = SCORED_BY if decision.outcome.is_scored else None
    assert await queue.finish(taken, decision, model=scored_by, timings=TIMINGS)


async def test_sender_takes_a_scored_film_back_and_readers_see_what_it_was(
    clients: dict[str, httpx.Client], worker_queue: JobQueue, gateway: GatewayProcess
) -> None:
    here = send(clients["sender"], 1)
    await decide(worker_queue, scored(flagged=True))
    study = clients["reader"].get(here).json()["links"]["study"]
    answer = clients["sender"].delete(here)
    assert answer.status_code == 200
    record = answer.json()
    assert (record["state"], record["outcome"], record["reason"]) == ("done", "not_assessed", "withdrawn")
    assert (record["probability"], record["model"]) == (None, None)
    assert clients["reader"].get(here).json() == record
    (past,) = clients["reader"].get(f"{here}/decisions").json()["decisions"]
    assert past["outcome"] == "flagged"
    assert clients["reader"].get(study).status_code == 404, "it was the study's only film"
    assert clients["reader"].get(f"{here}/preview.png").status_code == 409
    again = clients["admin"].delete(here)
    assert (again.status_code, again.json()) == (200, record)
    trail = gateway.spool_directory.parent / "audit"

    def withdrawals() -> int:
        found = [entry for entry in entries_in(trail) if entry["event"] == "withdrawn"]
        return sum(entry["film"] == record["id"] for entry in found)

    wait_until(lambda: withdrawals() > 0, what="the entry in the audit trail")
    assert withdrawals() == 1


def test_film_that_waits_is_taken_back_and_stays_so_when_it_is_sent_again(clients: dict[str, httpx.Client]) -> None:
    here = send(clients["sender"], 2)
    assert clients["sender"].delete(here).json()["reason"] == "withdrawn"
    again = clients["sender"].post("/v1/instances", content=png_film(seed=2), headers=PNG)
    assert (again.status_code, again.json()["reason"]) == (200, "withdrawn")
    refused = clients["admin"].post(f"{here}/rescore")
    assert (refused.status_code, refused.json()["code"]) == (409, "film_withdrawn")


def test_readers_may_not_and_films_of_other_sites_do_not_exist(clients: dict[str, httpx.Client]) -> None:
    here = send(clients["admin"], 3, site="south")
    assert clients["reader"].delete(here).status_code == 403
    answer = clients["north"].delete(here)
    assert (answer.status_code, answer.json()["code"]) == (404, "instance_not_found")
    assert clients["admin"].get(here).json()["state"] == "queued"
    assert clients["admin"].delete(f"/v1/instances/{'0' * 32}").status_code == 404
    assert clients["admin"].delete(here, params={"force": "1"}).status_code == 422


def test_who_waits_for_the_outcome_hears_of_it(clients: dict[str, httpx.Client]) -> None:
    here = send(clients["sender"], 4)
    clients["sender"].delete(here)
    assert clients["sender"].get(here, params={"wait": "30"}).json()["reason"] == "withdrawn"


async def test_study_whose_films_come_in_several_requests_only_rises_until_one_is_taken_back(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    rank = {"not_flagged": 0, "pending": 0, "not_assessed": 1, "flagged": 2}
    study = generate_uid()
    highest, films = 0, []
    for seed, decision in enumerate([scored(flagged=False), unread(), scored(flagged=True), scored(flagged=False)]):
        film = dicom_film(seed=seed, rows=64, columns=64, StudyInstanceUID=study, SOPInstanceUID=generate_uid())
        answer = clients["sender"].post("/v1/instances", content=film, headers={"Content-Type": "application/dicom"})
        assert answer.status_code == 202, answer.text
        films.append(answer.json()["links"])
        for is_decided in (False, True):
            if is_decided:
                await decide(worker_queue, decision)
            seen = clients["reader"].get(films[-1]["study"]).json()
            assert rank[seen["outcome"]] >= highest, "it never falls"
            highest = rank[seen["outcome"]]
            assert len(seen["instances"]) == len(films)
    assert seen["outcome"] == "flagged"
    clients["sender"].delete(films[2]["self"])
    seen = clients["reader"].get(films[0]["study"]).json()
    assert (seen["outcome"], len(seen["instances"])) == ("not_assessed", 3)
