"""The gateway as a process with a real Redis; the test itself plays the worker."""

import asyncio
import base64
import hashlib
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.decision import Decision
from model.errors import Reason
from services.jobs.queue import JobQueue
from services.jobs.records import Claims, Job, Priority, Record, Timings
from tests.support.access import make_key
from tests.support.films import IMPLICIT, dicom_film, jpeg_film, png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.jobs import SCORED_BY, TIMINGS, scored, unread
from tests.support.ledger import entries_in
from tests.support.redis_server import RedisServer

MEBIBYTE = 1024**2
PNG = {"Content-Type": "image/png"}
DICOM = {"Content-Type": "application/dicom"}


@pytest.fixture(scope="module")
def gateway(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    directory = tmp_path_factory.mktemp("gateway")
    process = GatewayProcess(directory, redis_url=shared_redis_server.url)
    process.wait_ready()
    yield process
    assert process.stop() == 0, process.output[-3000:]
    assert "request failed" not in process.output


@pytest.fixture(autouse=True)
def _nothing_to_give_back(gateway: GatewayProcess, redis_server: RedisServer) -> None:
    """Empty the lasting gateway's spool with Redis: sooner or later it gives Redis back what that has lost."""
    gateway.empty_spool()


@pytest.fixture
def hasty_gateway(redis_server: RedisServer, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that does not wait for uploads."""
    with GatewayProcess(tmp_path, redis_url=redis_server.url, api_upload_idle_seconds=1.0) as process:
        process.wait_ready()
        yield process


def post(client: httpx.Client, payload: bytes, headers: dict[str, str] = PNG, **params: object) -> httpx.Response:
    return client.post("/v1/instances", content=payload, headers=headers, params=params)  # type: ignore[arg-type]


def problem_code(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert set(document) - {"errors"} == {"type", "status", "title", "detail", "instance", "code"}
    assert document["status"] == status
    assert document["detail"]
    if status in (503, 507):
        assert 1 <= int(response.headers["retry-after"]) <= 120
    return str(document["code"])


async def score_everything(queue: JobQueue) -> list[Job]:
    taken = await queue.take("test", count=100, block_ms=0)
    for job in taken:
        await queue.finish(job, scored(flagged=True), model=SCORED_BY, timings=TIMINGS)
    return [one.job for one in taken]


def spool_files(gateway_spool: Path) -> list[Path]:
    return [path for path in gateway_spool.rglob("*") if path.is_file()]


# -- accepted ------------------------------------------------------------------------------------------------------


def test_accepted_film_answers_202_with_its_record_and_its_place(client: httpx.Client) -> None:
    payload = png_film(seed=1)
    response = post(client, payload)
    assert response.status_code == 202
    record = Record.model_validate_json(response.content)
    assert response.headers["location"] == record.links.self
    assert record.sha256 == hashlib.sha256(payload).hexdigest()
    assert (record.state, record.outcome, record.probability) == ("queued", None, None)
    assert client.get(record.links.self).json() == response.json()


async def test_finished_film_answers_200_when_it_is_sent_again(client: httpx.Client, worker_queue: JobQueue) -> None:
    first = post(client, png_film(seed=2))
    await score_everything(worker_queue)
    again = post(client, png_film(seed=2))
    assert again.status_code == 200
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["outcome"] == "flagged"
    assert await worker_queue.take("test", count=1, block_ms=0) == [], "a film that is known is not queued again"


def test_object_that_was_changed_is_a_film_of_its_own_and_a_warning_in_the_trail(
    client: httpx.Client, gateway: GatewayProcess
) -> None:
    same: dict[str, Any] = {"SOPInstanceUID": "1.2.3.7", "StudyInstanceUID": "1.2.3"}
    first = post(client, dicom_film(seed=14, **same), DICOM).json()
    by_another_way = post(client, dicom_film(seed=14, transfer_syntax=IMPLICIT, **same), DICOM).json()
    changed = post(client, dicom_film(seed=15, **same), DICOM).json()
    assert by_another_way["id"] == first["id"] != changed["id"]

    def warnings() -> list[tuple[str, str]]:
        entries = entries_in(gateway.spool_directory.parent / "audit")
        return [(entry["film"], entry["revises"]) for entry in entries if entry["event"] == "revised"]

    wait_until(lambda: warnings() != [], what="the warning in the trail")
    assert warnings() == [(changed["id"], first["id"])]


def test_the_same_film_has_one_id_however_it_travels(client: httpx.Client) -> None:
    payload = dicom_film(seed=3)
    raw = post(client, payload, DICOM)
    sniffed = post(client, payload, {"Content-Type": "application/octet-stream"})
    unnamed = post(client, payload, {})
    form = client.post("/v1/instances", files={"file": ("whatever.bin", payload)})
    typed_form = client.post("/v1/instances", files={"file": ("film.dcm", payload, "application/dicom")})
    chunked = client.post("/v1/instances", content=iter([payload[:1000], payload[1000:]]), headers=DICOM)
    crumbs = [payload[at : at + 1] for at in range(3000)] + [payload[3000:40_000], payload[40_000:]]
    crumbled = client.post("/v1/instances", content=iter(crumbs), headers=DICOM)
    answers = (raw, sniffed, unnamed, form, typed_form, chunked, crumbled)
    assert [answer.status_code for answer in answers] == [202] * len(answers)
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_another_site_is_another_film(client: httpx.Client) -> None:
    ids = {post(client, png_film(seed=4), site=site).json()["id"] for site in ("north", "south")}
    assert len(ids) == 2


def test_dicom_brings_its_study_and_a_raster_film_gets_one_of_its_own(client: httpx.Client) -> None:
    assert post(client, dicom_film(seed=5, StudyInstanceUID="1.2.3.5"), DICOM).json()["study_uid"] == "1.2.3.5"
    raster = post(client, png_film(seed=5)).json()
    assert raster["study_uid"] == f"2.25.{int(raster['id'], 16)}"
    assert (
        post(client, jpeg_film(seed=5), {"Content-Type": "image/jpeg"}, study_uid="1.2.3.6").json()["study_uid"]
        == "1.2.3.6"
    )


def test_dicom_without_a_study_is_a_study_of_its_own(client: httpx.Client) -> None:
    record = post(client, dicom_film(seed=6, StudyInstanceUID=None), DICOM).json()
    assert record["study_uid"] == f"2.25.{int(record['id'], 16)}"
    assert client.get(record["links"]["study"]).json()["films"] == 1


def test_uid_that_could_be_no_key_or_url_is_refused(client: httpx.Client) -> None:
    payload = dicom_film(seed=6, StudyInstanceUID="1.2|../3")
    assert problem_code(post(client, payload, DICOM), 422) == "malformed_header"


async def test_claims_of_a_raster_film_reach_its_job(client: httpx.Client, worker_queue: JobQueue) -> None:
    post(client, png_film(seed=7), view="AP", age=61, sex="F", priority="stat")
    (job,) = await score_everything(worker_queue)
    assert job.claims == Claims(view="AP", age_years=61, sex="F")
    assert job.priority is Priority.STAT


def test_correct_digest_is_accepted(client: httpx.Client) -> None:
    payload = png_film(seed=8)
    digest = base64.b64encode(hashlib.sha256(payload).digest()).decode()
    assert post(client, payload, PNG | {"Content-Digest": f"sha-256=:{digest}:"}).status_code == 202


# -- waiting -------------------------------------------------------------------------------------------------------


async def test_wait_answers_as_soon_as_the_film_is_done(client: httpx.Client, worker_queue: JobQueue) -> None:
    pending = asyncio.create_task(asyncio.to_thread(post, client, png_film(seed=10), PNG, wait=30))
    while not await score_everything(worker_queue):
        assert not pending.done()
    response = await pending
    assert (response.status_code, response.json()["state"]) == (200, "done")


async def test_long_poll_of_a_film_wakes_up(client: httpx.Client, worker_queue: JobQueue) -> None:
    link = post(client, png_film(seed=11)).json()["links"]["self"]
    pending = asyncio.create_task(asyncio.to_thread(client.get, link, params={"wait": 30}))
    await score_everything(worker_queue)
    assert (await pending).json()["outcome"] == "flagged"


def test_wait_that_does_not_suffice_answers_202(client: httpx.Client) -> None:
    response = post(client, png_film(seed=12), wait=1)
    assert (response.status_code, response.json()["state"]) == (202, "queued")


# -- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "headers", "status", "code"),
    [
        pytest.param(b"", PNG, 422, "empty_payload", id="empty"),
        pytest.param(b"%PDF-1.7", PNG, 415, "unsupported_format", id="no film"),
        pytest.param(png_film(), {"Content-Type": "text/plain"}, 415, "unsupported_media_type", id="foreign type"),
        pytest.param(png_film(), DICOM, 415, "media_type_mismatch", id="png called dicom"),
        pytest.param(png_film(), PNG | {"Content-Encoding": "gzip"}, 415, "unsupported_encoding", id="compressed"),
        pytest.param(png_film()[:20], PNG, 422, "malformed_header", id="header cut"),
        pytest.param(png_film(), PNG | {"Content-Digest": "sha-256=:x:"}, 400, "malformed_digest", id="no digest"),
        pytest.param(
            png_film(),
            PNG | {"Content-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"},
            422,
            "digest_mismatch",
            id="other bytes",
        ),
        pytest.param(
            b"--b\r\n\r\n", {"Content-Type": "multipart/form-data; boundary=b"}, 400, "malformed_multipart", id="form"
        ),
        pytest.param(b"x", {"Content-Type": "multipart/form-data"}, 400, "malformed_multipart", id="no boundary"),
    ],
)
def test_bad_payload_is_refused_with_its_code_and_leaves_nothing(
    client: httpx.Client, payload: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    assert problem_code(post(client, payload, headers), status) == code
    assert client.get("/v1/studies").json()["studies"] == []


@pytest.mark.parametrize(
    "params",
    [
        {"priority": "urgent"},
        {"prority": "stat"},
        {"site": "a|b"},
        {"site": "x" * 33},
        {"wait": 31},
        {"wait": -1},
        {"study_uid": "1.2.x"},
        {"study_uid": "1." * 40 + "1"},
        {"view": "sideways"},
        {"age": "nan"},
        {"age": -1},
        {"sex": "unknown"},
    ],
    ids=str,
)
def test_wrong_parameter_is_named_and_its_value_not_repeated(client: httpx.Client, params: dict[str, object]) -> None:
    response = post(client, png_film(), **params)
    assert problem_code(response, 422) == "invalid_parameter"
    ((name, value),) = params.items()
    assert response.json()["errors"][0]["parameter"] == name
    assert str(value) not in response.json()["detail"] or str(value) in ("stat", "-1", "31")


@pytest.mark.parametrize("claim", [{"view": "PA"}, {"age": 50}, {"sex": "F"}, {"study_uid": "1.2.3"}], ids=str)
def test_dicom_film_takes_no_claims(client: httpx.Client, claim: dict[str, object]) -> None:
    assert problem_code(post(client, dicom_film(seed=13), DICOM, **claim), 422) == "claims_not_allowed"


def test_too_large_payload_is_refused_by_its_announced_length(gateway: GatewayProcess) -> None:
    """The body is never sent: the answer to the headers alone has to come."""
    with raw_request(gateway, f"Content-Type: image/png\r\nContent-Length: {65 * MEBIBYTE}") as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_too_large_payload_is_refused_while_it_streams(client: httpx.Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 400 * MEBIBYTE:
            sent += MEBIBYTE
            yield bytes(MEBIBYTE)

    assert problem_code(client.post("/v1/instances", content=endless(), headers=PNG), 413) == "payload_too_large"


def test_form_with_a_file_of_the_largest_size_is_not_refused_for_its_boundaries(client: httpx.Client) -> None:
    """64 MiB of zeros are no film, but they are not too large."""
    response = client.post("/v1/instances", files={"file": bytes(64 * MEBIBYTE)})
    assert problem_code(response, 415) == "unsupported_format"
    response = client.post("/v1/instances", files={"file": bytes(64 * MEBIBYTE + 1)})
    assert problem_code(response, 413) == "payload_too_large"


def test_caller_that_waits_for_leave_to_send_hears_the_refusal_first(gateway: GatewayProcess) -> None:
    headers = f"Content-Type: text/plain\r\nContent-Length: {MEBIBYTE}\r\nExpect: 100-continue"
    with raw_request(gateway, headers) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 415 ")


def test_upload_that_stalls_is_cut_off(hasty_gateway: GatewayProcess) -> None:
    with raw_request(hasty_gateway, "Content-Type: image/png\r\nContent-Length: 1000") as connection:
        connection.sendall(b"\x89PNG")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))  # until the connection ends
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_upload_that_trickles_is_cut_off(hasty_gateway: GatewayProcess) -> None:
    with raw_request(hasty_gateway, "Content-Type: image/png\r\nContent-Length: 100000") as connection:
        connection.settimeout(0.1)
        deadline = time.monotonic() + 30
        answer = b""
        while not answer:
            assert time.monotonic() < deadline
            connection.sendall(b"x")
            try:
                answer = connection.recv(4096)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_refused_sender_gets_the_answer_and_is_disconnected_if_it_goes_on(gateway: GatewayProcess) -> None:
    with raw_request(gateway, f"Content-Type: text/plain\r\nContent-Length: {1024 * MEBIBYTE}") as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 415 ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_for(connection, seconds=30)


def send_for(connection: socket.socket, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection.sendall(bytes(1024))


def test_upload_that_is_abandoned_leaves_nothing(gateway: GatewayProcess, client: httpx.Client) -> None:
    spool = gateway.spool_directory
    before = set(spool_files(spool))
    with raw_request(gateway, "Content-Type: image/png\r\nContent-Length: 3000000") as connection:
        connection.sendall(bytes(2 * MEBIBYTE))
    wait_until(lambda: set(spool_files(spool)) == before, what="the spool without the abandoned upload")
    assert client.get("/health/live").status_code == 200


def raw_request(gateway: GatewayProcess, headers: str) -> socket.socket:
    url = httpx.URL(gateway.url)
    connection = socket.create_connection((url.host, url.port or 80), timeout=30)
    connection.sendall(f"POST /v1/instances HTTP/1.1\r\nHost: gateway\r\n{headers}\r\n\r\n".encode())
    return connection


# -- pictures ------------------------------------------------------------------------------------------------------


def picture(client: httpx.Client, link: str, name: str) -> httpx.Response:
    return client.get(f"{link}/{name}.png")


@pytest.mark.parametrize("name", ["preview", "heatmap"])
async def test_picture_of_a_film_that_is_not_done_is_a_conflict(
    client: httpx.Client, worker_queue: JobQueue, name: str
) -> None:
    link = post(client, png_film(seed=15)).json()["links"]["self"]
    assert problem_code(picture(client, link, name), 409) == "film_not_done"
    await worker_queue.take("test", count=1, block_ms=0)
    assert problem_code(picture(client, link, name), 409) == "film_not_done"


@pytest.mark.parametrize("reason", [Reason.AGE, Reason.VIEW, Reason.DEADLINE])
async def test_film_that_nobody_decoded_has_no_picture_and_is_not_called_broken(
    client: httpx.Client, worker_queue: JobQueue, reason: Reason
) -> None:
    link = post(client, png_film(seed=16)).json()["links"]["self"]
    for taken in await worker_queue.take("test", count=100, block_ms=0):
        await worker_queue.finish(taken, unread(reason), model=None, timings=Timings())
    response = picture(client, link, "preview")
    assert problem_code(response, 409) == "film_not_assessed"
    assert response.json()["detail"] == "No picture was made of this film; its `reason` says why it was not assessed."


@pytest.mark.parametrize("decision", [scored(flagged=True), unread(Reason.BLANK)], ids=["scored", "blank"])
async def test_film_that_was_decoded_without_a_picture_misses_it(
    client: httpx.Client, worker_queue: JobQueue, decision: Decision
) -> None:
    link = post(client, png_film(seed=17)).json()["links"]["self"]
    for taken in await worker_queue.take("test", count=100, block_ms=0):
        await worker_queue.finish(taken, decision, model=SCORED_BY, timings=TIMINGS)
    assert problem_code(picture(client, link, "preview"), 404) == "picture_absent"


# -- lists ---------------------------------------------------------------------------------------------------------


def test_unknown_things_are_404_and_other_methods_405(client: httpx.Client) -> None:
    assert problem_code(client.get("/v1/instances/" + "0" * 32), 404) == "instance_not_found"
    assert problem_code(client.get("/v1/instances/not-an-id"), 404) == "not_found"
    assert problem_code(client.get("/v1/studies/1.2.3"), 404) == "study_not_found"
    assert problem_code(client.get("/v1/models/" + "0" * 64 + "/operating-points"), 404) == "model_not_loaded"
    assert problem_code(client.get("/nothing"), 404) == "not_found"
    response = client.put("/v1/instances")
    assert problem_code(response, 405) == "method_not_allowed"
    assert response.headers["allow"] == "POST"


def test_study_lists_its_films_oldest_first(client: httpx.Client) -> None:
    ids = [post(client, png_film(seed=seed), study_uid="1.2.840.1").json()["id"] for seed in (20, 21, 22)]
    study = client.get("/v1/studies/1.2.840.1").json()
    assert [film["id"] for film in study["instances"]] == ids
    assert (study["films"], study["pending"], study["outcome"]) == (3, 3, "pending")


def test_pages_hold_every_study_once(client: httpx.Client) -> None:
    sent = {
        post(client, png_film(seed=seed), study_uid=f"1.2.840.2.{seed}").json()["study_uid"] for seed in range(30, 37)
    }
    seen: list[str] = []
    cursor = None
    while True:
        page = client.get("/v1/studies", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [study["study_uid"] for study in page["studies"]]
        assert page["complete"] is (page["next_cursor"] is None)
        if page["complete"]:
            break
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(sent)


def test_filters_narrow_the_worklist(client: httpx.Client) -> None:
    post(client, png_film(seed=40), site="north", priority="stat", study_uid="1.2.1")
    post(client, png_film(seed=41), site="south", study_uid="1.2.2")

    def listed(**params: str) -> list[str]:
        return [study["study_uid"] for study in client.get("/v1/studies", params=params).json()["studies"]]

    assert listed() == ["1.2.1", "1.2.2"]
    assert listed(site="south") == ["1.2.2"]
    assert listed(priority="stat") == ["1.2.1"]
    assert listed(outcome="flagged") == []
    assert listed(since="2100-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"cursor": "not-a-cursor"}, "invalid_cursor"),
        ({"limit": "501"}, "invalid_parameter"),
        ({"outcome": "healthy"}, "invalid_parameter"),
        ({"since": "2026-01-01T00:00:00"}, "invalid_parameter"),
        ({"since": "1767225600"}, "invalid_parameter"),
        ({"outcomes": "flagged"}, "invalid_parameter"),
    ],
)
def test_wrong_filter_is_refused(client: httpx.Client, params: dict[str, str], code: str) -> None:
    assert problem_code(client.get("/v1/studies", params=params), 422) == code


async def test_unchanged_worklist_answers_304_until_something_happens(
    client: httpx.Client, worker_queue: JobQueue
) -> None:
    def get(**options: Any) -> httpx.Response:
        return client.get("/v1/studies", **options)

    post(client, png_film(seed=50))
    first = get()
    tag = {"If-None-Match": first.headers["etag"]}
    unchanged = get(headers=tag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    for same in ("*", first.headers["etag"].removeprefix("W/"), f'"other", {first.headers["etag"]}'):
        assert get(headers={"If-None-Match": same}).status_code == 304, same
    assert get(headers={"If-None-Match": 'W/"other"'}).status_code == 200
    assert get(params={"limit": 1}, headers=tag).status_code == 200, "another question"
    await score_everything(worker_queue)
    changed = get(headers=tag)
    assert changed.json()["studies"][0]["outcome"] == "flagged"


# -- operation -----------------------------------------------------------------------------------------------------


def test_metrics_count_what_came_and_read_the_queue(client: httpx.Client) -> None:
    post(client, png_film(seed=60), priority="stat")
    post(client, b"no film")
    text = client.get("/metrics").text
    assert 'cxr_images_received_total{code="accepted",source="http"}' in text
    assert 'cxr_rejections_total{code="unsupported_format"}' in text
    assert 'cxr_queue_depth{lane="stat"} 1.0' in text
    (age,) = re.findall(r'cxr_queue_oldest_age_seconds{lane="stat"} (\S+)', text)
    assert 0 <= float(age) < 600
    assert 'route="/v1/instances"' in text


def test_log_names_routes_and_codes_but_nothing_that_was_sent(gateway: GatewayProcess, client: httpx.Client) -> None:
    client.get("/v1/studies/1.2.3.4.5.6.7.8.9", params={"site": "secret-site"})
    wait_until(lambda: '"route": "/v1/studies/{study_uid}"' in gateway.output, what="the log line")
    assert "1.2.3.4.5.6.7.8.9" not in gateway.output
    assert "secret-site" not in gateway.output


def test_forty_callers_with_the_same_film_make_one_job(client: httpx.Client, redis_server: RedisServer) -> None:
    payload = png_film(seed=61)
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: post(client, payload), range(40)))
    assert {answer.status_code for answer in answers} <= {202, 503}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    with redis_server.client() as redis:
        assert redis.xlen("{cxr}:q:routine") == 1


# -- limits and outages: each with a gateway of its own ------------------------------------------------------------


def test_full_queue_answers_503_and_keeps_nothing(redis_server: RedisServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, redis_url=redis_server.url, api_routine_depth=2, api_stat_reserve=1) as gateway:
        gateway.wait_ready()
        with gateway.client() as client:
            assert [post(client, png_film(seed=seed)).status_code for seed in (70, 71)] == [202, 202]
            kept = len(spool_files(tmp_path / "spool"))
            assert problem_code(post(client, png_film(seed=72)), 503) == "queue_full"
            assert len(spool_files(tmp_path / "spool")) == kept
            with raw_request(gateway, "Content-Type: image/png\r\nContent-Length: 9\r\nExpect: 100-continue") as asking:
                assert asking.recv(4096).startswith(b"HTTP/1.1 503 "), "not asked for a film that has no room"
            assert post(client, png_film(seed=70)).status_code == 202, "a film that is known needs no room"
            assert post(client, png_film(seed=72), priority="stat").status_code == 202, "the reserve is for stat"
            assert problem_code(post(client, png_film(seed=73), priority="stat"), 503) == "queue_full"


def test_full_spool_answers_507(redis_server: RedisServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, redis_url=redis_server.url, spool_quota_bytes=MEBIBYTE) as gateway:
        gateway.wait_ready()
        with gateway.client() as client:
            answers = [post(client, dicom_film(seed=seed, rows=400, columns=400), DICOM) for seed in range(80, 85)]
            assert answers[0].status_code == 202
            assert problem_code(answers[-1], 507) == "spool_full"
            assert client.get("/health/live").status_code == 200


def test_more_uploads_than_allowed_are_told_to_come_back(redis_server: RedisServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, redis_url=redis_server.url, api_max_uploads=1) as gateway:
        gateway.wait_ready()
        with gateway.client() as client, raw_request(gateway, "Content-Type: image/png\r\nContent-Length: 9") as held:
            held.sendall(b"\x89")
            wait_until(lambda: "cxr_uploads_in_flight 1.0" in client.get("/metrics").text, what="the held upload")
            assert problem_code(post(client, png_film()), 503) == "uploads_busy"


def test_key_is_asked_for_everywhere_but_at_the_probes(redis_server: RedisServer, tmp_path: Path) -> None:
    key = make_key(tmp_path / "keys.json")
    with GatewayProcess(tmp_path, redis_url=redis_server.url, api_keys_file=tmp_path / "keys.json") as gateway:
        gateway.wait_ready()
        with gateway.client() as client:
            for response in (post(client, png_film()), client.get("/v1/studies"), client.get("/metrics")):
                assert problem_code(response, 401) == "unauthenticated"
                assert response.headers["www-authenticate"].startswith("Bearer")
            bearer = {"Authorization": f"Bearer {key}"}
            assert post(client, png_film(), PNG | bearer).status_code == 202
            assert client.get("/v1/studies", auth=("pacs", key)).status_code == 200
            assert key.split("_", 2)[2] not in gateway.output


def test_redis_that_does_not_answer_is_503_and_never_an_empty_list(
    mortal_redis_server: RedisServer, tmp_path: Path
) -> None:
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url) as gateway:
        gateway.wait_ready()
        with gateway.client() as client:
            link = post(client, png_film(seed=90)).json()["links"]["self"]
            mortal_redis_server.kill()
            for response in (
                client.get("/v1/studies"),
                client.get("/v1/models"),
                client.get(link),
                client.get("/health/ready"),
                post(client, png_film(seed=91)),
            ):
                assert problem_code(response, 503) == "queue_unavailable"
            assert client.get("/health/live").status_code == 200
            assert "cxr_queue_up 0.0" in client.get("/metrics").text
            mortal_redis_server.start()
            assert client.get(link).json()["state"] == "queued", "what was acknowledged is still there"
            assert post(client, png_film(seed=91)).status_code == 202


def test_film_whose_submit_has_an_unknown_outcome_stays_in_the_spool(
    mortal_redis_server: RedisServer, tmp_path: Path
) -> None:
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url) as gateway:
        gateway.wait_ready()
        with gateway.client() as client, mortal_redis_server.client() as redis:
            redis.config_set("maxmemory", "1mb")
            assert problem_code(post(client, png_film(seed=92)), 503) == "queue_unavailable"
            payloads = [path for path in spool_files(tmp_path / "spool") if path.suffix != ".json"]
            assert [path.read_bytes() for path in payloads] == [png_film(seed=92)]
            redis.config_set("maxmemory", "0")
            assert post(client, png_film(seed=92)).status_code == 202


def test_unsafe_redis_is_never_ready(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    with mortal_redis_server.client() as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url) as gateway, gateway.client() as client:
        wait_until(lambda: "reconciled" in gateway.output, what="the comparison at start")
        assert problem_code(client.get("/health/ready"), 503) == "queue_unsafe"


def test_stop_answers_those_who_wait_and_ends_with_0(redis_server: RedisServer, tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, redis_url=redis_server.url)
    gateway.wait_ready()
    with gateway.client() as client, ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(post, client, png_film(seed=93), PNG, wait=30)
        with redis_server.client() as redis:
            wait_until(lambda: redis.xlen("{cxr}:q:routine") == 1, what="the film in the queue")
        started = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - started < 25, "a waiting caller must not hold up the stop for its whole wait"
        assert waiting.result().status_code == 202
