"""Assessments, blind reading and performance over HTTP: what each reader is shown, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from model.decision import Decision
from services.api.scopes import Role
from services.jobs.queue import JobQueue
from services.jobs.records import Job
from tests.support.access import id_of, make_key
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, scored, unread
from tests.support.ledger import entries_in
from tests.support.redis_server import RedisServer

SEEN = {"truth": "no_finding", "source": "reader", "verdict": "disagree"}
BLIND = {"truth": "finding", "source": "reader", "blind": True}


@pytest.fixture(scope="module")
def keys_and_gateway(
    shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, str], GatewayProcess]]:
    directory = tmp_path_factory.mktemp("gateway")
    file = directory / "keys.json"
    keys = {
        "ann": make_key(file, Role.READ),
        "bob": make_key(file, Role.READ),
        "north": make_key(file, Role.READ, sites=["north"]),
        "sender": make_key(file, Role.SUBMIT),
        "scraper": make_key(file, Role.METRICS),
    }
    process = GatewayProcess(
        directory,
        redis_url=shared_redis_server.url,
        api_keys_file=file,
        api_blind_share=1.0,
        queue_sites='["default", "north"]',
    )
    process.wait_ready()
    yield keys, process
    assert process.stop() == 0, process.output[-3000:]
    assert "request failed" not in process.output


async def decide(queue: JobQueue, decision: Decision, *, site: str = "default", study_uid: str | None = None) -> Job:
    """Submit a film and end it so, as gateway and worker would."""
    job = make_job(site=site, study_uid=study_uid)
    await queue.submit(job)
    (taken,) = await queue.take("test", count=1, block_ms=0)
    model = SCORED_BY if decision.outcome.is_scored else None
    assert await queue.finish(taken, decision, model=model, timings=TIMINGS)
    return job


def path(job: Job) -> str:
    return f"/v1/studies/{job.study_uid}/assessments"


def waiting(client: httpx.Client, **query: str) -> list[dict[str, object]]:
    answer = client.get("/v1/studies", params={"blind": "true", **query})
    assert answer.status_code == 200, answer.text
    studies: list[dict[str, object]] = answer.json()["studies"]
    return studies


def wait_drawn(client: httpx.Client, *jobs: Job) -> None:
    wanted = {job.study_uid for job in jobs}
    wait_until(lambda: {line["study_uid"] for line in waiting(client)} == wanted, what="the draw")


# -- the blind list ----------------------------------------------------------------------------------------------------
async def test_blind_list_names_studies_and_nothing_that_tells_their_outcome(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    flagged, other = [await decide(worker_queue, scored(flagged=is_flagged)) for is_flagged in (True, False)]
    wait_drawn(clients["ann"], flagged, other)
    lines = waiting(clients["ann"])
    assert {line["outcome"] for line in lines} == {"blind"}
    alike = [{name: line[name] for name in ("priority", "films", "pending", "unread", "overdue")} for line in lines]
    assert alike[0] == alike[1]
    assert len({tuple(line) for line in lines}) == 1, "not even by a field that one of them lacks"
    assert "flagged" not in json.dumps(lines)


async def test_ordinary_worklist_shows_and_orders_drawn_studies_as_ever(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    other, flagged = [await decide(worker_queue, scored(flagged=is_flagged)) for is_flagged in (False, True)]
    wait_drawn(clients["ann"], flagged, other)
    studies = clients["ann"].get("/v1/studies").json()["studies"]
    assert [(line["study_uid"], line["outcome"]) for line in studies] == [
        (flagged.study_uid, "flagged"),
        (other.study_uid, "not_flagged"),
    ]


def test_blind_list_is_not_chosen_by_outcome(clients: dict[str, httpx.Client]) -> None:
    answer = clients["ann"].get("/v1/studies", params={"blind": "true", "outcome": "not_flagged"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")


async def test_blind_list_has_a_tag_that_a_reading_changes(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    job = await decide(worker_queue, scored(flagged=False))
    wait_drawn(clients["ann"], job)
    tag = clients["ann"].get("/v1/studies?blind=true").headers["etag"]
    again = clients["ann"].get("/v1/studies?blind=true", headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert clients["ann"].post(path(job), json=BLIND).status_code == 201
    assert waiting(clients["ann"]) == []
    assert clients["ann"].get("/v1/studies?blind=true").headers["etag"] != tag


# -- assessments -------------------------------------------------------------------------------------------------------
async def test_reader_is_told_what_was_kept_and_a_repetition_is_the_same(
    clients: dict[str, httpx.Client],
    worker_queue: JobQueue,
    keys_and_gateway: tuple[dict[str, str], GatewayProcess],
) -> None:
    job = await decide(worker_queue, scored(flagged=True))
    first, again = (clients["ann"].post(path(job), json=SEEN) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    told = first.json()
    assert told | SEEN == told
    assert (told["who"], told["instance_id"]) == (id_of(keys_and_gateway[0]["ann"]), job.id)
    assert (told["outcome"], told["probability"], told["threshold"]) == ("flagged", 0.9, 0.4)
    assert (told["model"]["digest"], told["policy"]["name"], told["is_current"]) == (
        SCORED_BY.digest,
        "screening",
        True,
    )
    listed = clients["bob"].get(path(job)).json()
    assert listed["assessments"] == [told]
    assert listed["truth"] | {"truth": "no_finding", "source": "reader", "blind": False} == listed["truth"]
    assert listed["is_assessable"]


async def test_blind_reading_is_taken_once_and_not_of_who_has_seen(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    job = await decide(worker_queue, scored(flagged=False))
    wait_drawn(clients["ann"], job)
    state = clients["ann"].get(path(job)).json()["blind"]
    assert state == {"is_drawn": True, "is_waiting": True, "share": 1.0}
    assert clients["ann"].post(path(job), json=SEEN).status_code == 201
    refused = clients["ann"].post(path(job), json=BLIND)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_blind")
    read = clients["bob"].post(path(job), json=BLIND)
    assert (read.status_code, read.json()["verdict"]) == (201, "disagree")
    assert not clients["bob"].get(path(job)).json()["blind"]["is_waiting"]
    assert clients["ann"].get(path(job)).json()["truth"]["truth"] == "finding"


async def test_assessment_is_outdated_by_another_film(clients: dict[str, httpx.Client], worker_queue: JobQueue) -> None:
    job = await decide(worker_queue, scored(flagged=True))
    assert clients["ann"].post(path(job), json=SEEN).status_code == 201
    await decide(worker_queue, scored(flagged=True), study_uid=job.study_uid)
    listed = clients["ann"].get(path(job)).json()
    assert listed["truth"] is None
    assert [one["is_current"] for one in listed["assessments"]] == [False]


async def test_study_without_an_outcome_is_not_assessed_by_readers(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    job = await decide(worker_queue, unread())
    answer = clients["ann"].post(path(job), json=SEEN)
    assert (answer.status_code, answer.json()["code"]) == (409, "study_not_scored")
    assert not clients["ann"].get(path(job)).json()["is_assessable"]


@pytest.mark.parametrize(
    "body",
    [
        {"truth": "healthy", "source": "reader", "verdict": "agree"},
        {"truth": "finding", "source": "reader"},
        {"truth": "finding", "source": "reader", "blind": True, "verdict": "agree"},
        {"truth": "finding", "source": "reader", "verdict": "agree", "comment": "Mrs Miller"},
        {"truth": "finding", "source": "reader", "verdict": "agree", "blind": "no"},
        [],
    ],
)
def test_body_of_another_form_is_refused_and_not_quoted(clients: dict[str, httpx.Client], body: object) -> None:
    answer = clients["ann"].post("/v1/studies/1.2.3/assessments", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert "Miller" not in answer.text


def test_bytes_that_are_no_json_are_refused(clients: dict[str, httpx.Client]) -> None:
    zipped = clients["ann"].post(
        "/v1/studies/1.2.3/assessments", content=b"PK\x03\x04", headers={"Content-Type": "application/json"}
    )
    assert zipped.status_code == 400
    undeclared = clients["ann"].post("/v1/studies/1.2.3/assessments", content=b"{}")
    assert undeclared.status_code == 415


async def test_event_says_that_a_study_was_assessed(clients: dict[str, httpx.Client], worker_queue: JobQueue) -> None:
    job = await decide(worker_queue, scored(flagged=True))
    begun = clients["ann"].get("/v1/events", params={"seconds": 0}).text
    last = next(line.removeprefix("id: ") for line in begun.splitlines() if line.startswith("id: "))
    clients["ann"].post(path(job), json=SEEN)

    def heard() -> str:
        return clients["ann"].get("/v1/events", params={"seconds": 0}, headers={"Last-Event-ID": last}).text

    wait_until(lambda: "event: study" in heard(), what="the event")
    (data,) = [
        after.removeprefix("data: ")
        for event, after in zip(heard().splitlines(), heard().splitlines()[1:], strict=False)
        if event == "event: study"
    ]
    assert json.loads(data) == {"study_uid": job.study_uid, "site": "default"}


# -- who may -----------------------------------------------------------------------------------------------------------
async def test_readers_of_other_sites_see_and_change_nothing_here(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    job = await decide(worker_queue, scored(flagged=False))
    wait_drawn(clients["ann"], job)
    assert waiting(clients["north"]) == []
    for answer in (clients["north"].post(path(job), json=BLIND), clients["north"].get(path(job))):
        assert (answer.status_code, answer.json()["code"]) == (404, "study_not_found")
    for method, where in (("POST", path(job)), ("GET", path(job)), ("GET", "/v1/performance")):
        named = clients["north"].request(method, where, params={"site": "default"}, json=BLIND)
        assert (named.status_code, named.json()["code"]) == (403, "site_not_allowed")
    assert clients["sender"].post(path(job), json=BLIND).status_code == 403
    told = clients["north"].get("/v1/performance").json()
    assert (told["groups"], told["blind"]["waiting"]) == ([], 0)
    assert clients["ann"].get(path(job)).json()["assessments"] == []


async def test_performance_is_told_by_site_and_for_all_that_the_key_sees(
    clients: dict[str, httpx.Client], worker_queue: JobQueue
) -> None:
    here = await decide(worker_queue, scored(flagged=True))
    await decide(worker_queue, scored(flagged=False, site="north"), site="north")
    clients["ann"].post(path(here), json=SEEN)
    wait_until(lambda: len(clients["ann"].get("/v1/performance").json()["groups"]) == 2, what="both are counted")
    told = clients["ann"].get("/v1/performance").json()
    assert told["overall"]["studies"] == {"flagged": 1, "not_flagged": 1, "not_assessed": 0}
    assert told["overall"]["flagged"] == {"with_truth": 1, "finding": 0, "no_finding": 1, "uncertain": 0}
    assert [group["site"] for group in told["groups"]] == ["default", "north"]
    nothing = {"value": None, "low": None, "high": None, "note": "n too small"}
    assert told["overall"]["sensitivity"] == nothing | {"n": 1}
    (north,) = clients["north"].get("/v1/performance").json()["groups"]
    assert (north["site"], north["policy"]["site"]) == ("north", "north")
    of_a_day = clients["ann"].get("/v1/performance", params={"until": "2020-01-01"}).json()
    assert (of_a_day["groups"], of_a_day["overall"]["first_day"]) == ([], None)


# -- what is written down ----------------------------------------------------------------------------------------------
async def test_metrics_count_verdicts_and_what_waits(clients: dict[str, httpx.Client], worker_queue: JobQueue) -> None:
    job, left = [await decide(worker_queue, scored(flagged=True)) for _ in range(2)]
    wait_drawn(clients["ann"], job, left)
    before = samples(clients["scraper"])['cxr_assessments_total{site="default",verdict="disagree"}']
    clients["ann"].post(path(job), json=BLIND | {"truth": "no_finding"})
    after = samples(clients["scraper"])
    assert after['cxr_assessments_total{site="default",verdict="disagree"}'] == before + 1
    assert after['cxr_blind_waiting_studies{site="default"}'] == 1
    assert after['cxr_blind_waiting_studies{site="north"}'] == 0


async def test_assessment_is_in_the_audit_trail_with_who_and_what(
    clients: dict[str, httpx.Client],
    worker_queue: JobQueue,
    keys_and_gateway: tuple[dict[str, str], GatewayProcess],
) -> None:
    keys, process = keys_and_gateway
    job = await decide(worker_queue, scored(flagged=True))
    told = clients["bob"].post(path(job), json=SEEN).json()
    trail = process.spool_directory.parent / "audit"

    def noted() -> list[dict[str, object]]:
        entries = entries_in(trail)
        return [one for one in entries if one["event"] == "assessed" and one["study"] == job.study_uid]

    wait_until(lambda: bool(noted()), what="the entry")
    (entry,) = noted()
    assert clients["bob"].post(path(job), json=SEEN).status_code == 200
    wait_until(lambda: len(noted()) == 2, what="what is repeated, because the first answer may have been lost")
    assert len({json.dumps(one["assessment"], sort_keys=True) for one in noted()}) == 1
    assert (entry["who"], entry["dicom"], entry["site"]) == (id_of(keys["bob"]), "110105", "default")
    assert isinstance(entry["assessment"], dict)
    assert entry["assessment"]["id"] == told["id"]


def samples(client: httpx.Client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}
