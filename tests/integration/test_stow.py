"""STOW-RS against a running gateway: what is stored, what is answered, and that nothing is half-stored."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass

from services.api.scopes import Role
from tests.integration.test_refusals_leave_nothing import payloads
from tests.support.access import bearer, id_of, make_key
from tests.support.films import CT_STORAGE, DX_PROCESSING_STORAGE, dicom_film, png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.key_objects import OF_INTEREST, key_object
from tests.support.ledger import entries_in
from tests.support.raw_http import connect, exchange, read_answers
from tests.support.redis_server import RedisServer
from tests.support.shared_data import shared_data
from tests.support.stow import (
    BOUNDARY,
    STORE,
    STORE_TYPE,
    failed,
    opening,
    others,
    read,
    related,
    stored,
    stow,
    uid_of_film,
)

MEBIBYTE = 1024**2
PATH = "/dicom-web/studies"
FILM = dicom_film(seed=1)
OTHER = dicom_film(seed=2)
CT = dicom_film(seed=3, SOPClassUID=CT_STORAGE)
HEAD = b"POST /dicom-web/studies HTTP/1.1\r\nHost: gateway\r\nContent-Type: " + STORE_TYPE.encode() + b"\r\n"
LIMITS = {
    "api_max_payload_bytes": 2 * MEBIBYTE,
    "api_max_store_bytes": 6 * MEBIBYTE,
    "api_max_store_instances": 30,
    "api_upload_idle_seconds": 200,
}


@pytest.fixture(scope="module")
def gateway(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), redis_url=shared_redis_server.url, **LIMITS) as process:
        process.wait_ready()
        yield process
        assert "request failed" not in process.output


@pytest.fixture
def client(gateway: GatewayProcess, redis_server: RedisServer) -> Iterator[httpx.Client]:
    assert payloads(gateway) == []
    with gateway.client() as client:
        yield client
    gateway.empty_spool()


def counted(client: httpx.Client, code: str) -> float:
    found = re.findall(rf'images_received_total{{code="{code}",source="stow"}} (\S+)', client.get("/metrics").text)
    return float(found[0]) if found else 0.0


def gauge(client: httpx.Client, name: str) -> float:
    return float(re.findall(rf"^{name} (\S+)", client.get("/metrics").text, re.MULTILINE)[0])


def check_stored(
    gateway: GatewayProcess, client: httpx.Client, redis_server: RedisServer, *films: bytes, before_bytes: float = 0
) -> None:
    """Check that these films are in spool and queue, and not a byte of anything else."""
    wait_until(lambda: gauge(client, "cxr_uploads_in_flight") == 0, what="the end of the upload")
    assert sorted(path.read_bytes() for path in payloads(gateway)) == sorted(films)
    # Until the gateway counts its spool anew it does not know what earlier tests took out.
    kept_bytes = sum(len(film) for film in films)
    assert gauge(client, "cxr_spool_payload_bytes") in (kept_bytes, before_bytes + kept_bytes)
    assert len(list(gateway.spool_directory.rglob("*.json"))) == len(films)
    with redis_server.client() as redis:
        assert redis.zcard("{cxr}:open") == len(films)


@pytest.fixture
def assert_stored(gateway: GatewayProcess, client: httpx.Client, redis_server: RedisServer) -> Callable[..., None]:
    """``check_stored`` for the module's gateway, which still counts what earlier tests took out of its spool."""
    before_bytes = gauge(client, "cxr_spool_payload_bytes")
    return partial(check_stored, gateway, client, redis_server, before_bytes=before_bytes)


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


# -- what is stored ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 25])
@pytest.mark.parametrize("chunk_size", [10_000, 10_000_000], ids=["chunked", "with a length"])
def test_dicomweb_client_stores_a_study(
    gateway: GatewayProcess, client: httpx.Client, redis_server: RedisServer, count: int, chunk_size: int
) -> None:
    study = "1.2.3.4"
    films = [dicom_film(seed=seed, rows=96, columns=96, StudyInstanceUID=study) for seed in range(count)]
    sender = DICOMwebClient(f"{gateway.url}/dicom-web", chunk_size=chunk_size)
    for study_uid in (None, study):  # and again, which adds nothing
        answer = sender.store_instances([read(film) for film in films], study_instance_uid=study_uid)
        sent = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
        assert sent == {uid_of_film(film) for film in films}
        assert "FailedSOPSequence" not in answer
    with redis_server.client() as redis:
        assert redis.zcard("{cxr}:open") == count
    assert len(payloads(gateway)) == count
    assert client.get(f"/v1/studies/{study}").json()["films"] == count


def test_film_by_stow_is_the_film_by_http(client: httpx.Client, assert_stored: Callable[..., None]) -> None:
    by_http = client.post("/v1/instances", content=FILM, headers={"Content-Type": "application/dicom"}).json()
    before = counted(client, "known")
    answer = stow(client, FILM)
    assert (answer.status_code, stored(answer)) == (200, [uid_of_film(FILM)])
    assert counted(client, "known") == before + 1
    assert client.get(by_http["links"]["study"]).json()["films"] == 1
    assert_stored(FILM)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param({"Content-Type": "application/dicom"}, FILM, id="one instance as the body"),
        pytest.param(STORE, b"\r\n" + related(FILM).rstrip(), id="blank line before, none after"),
        pytest.param(STORE, b"read me\r\n" + related(FILM) + b"the end", id="preamble and epilogue"),
        pytest.param(
            {"Content-Type": f'multipart/related; boundary="{"o" * 73}"; type=application/dicom'},
            related(FILM, boundary="o" * 73),
            id="long boundary, type unquoted",
        ),
        pytest.param(STORE | {"Accept": "application/json, */*;q=0.1"}, related(FILM), id="other accept"),
    ],
)
def test_every_dialect_stores_the_same_film(
    client: httpx.Client, head: dict[str, str], body: bytes, assert_stored: Callable[..., None]
) -> None:
    for content in (body, iter([body[:7], body[7:]])):  # with a length, and in chunks
        answer = client.post(PATH, content=content, headers=head)
        assert (answer.status_code, stored(answer)) == (200, [uid_of_film(FILM)]), answer.text
    assert_stored(FILM)


def test_unsuitable_film_is_stored_like_any_other(client: httpx.Client, assert_stored: Callable[..., None]) -> None:
    films = [
        dicom_film(seed=1, SOPClassUID=DX_PROCESSING_STORAGE, PresentationIntentType="FOR PROCESSING"),
        dicom_film(seed=2, Modality="CT"),
        dicom_film(seed=3, PixelData=None),
    ]
    assert stow(client, *films).status_code == 200
    assert_stored(*films)


def test_film_of_a_large_request_arrives_whole(client: httpx.Client, assert_stored: Callable[..., None]) -> None:
    films = [dicom_film(seed=seed, rows=900, columns=900) for seed in range(3)]
    assert all(MEBIBYTE < len(film) < 2 * MEBIBYTE for film in films)
    assert stow(client, *films).status_code == 200
    assert_stored(*films)


# -- what fails alone --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason", "is_named"),
    [
        pytest.param(b"garbage", 0xC000, False, id="garbage"),
        pytest.param(png_film(seed=1), 0xC000, False, id="PNG"),
        pytest.param(FILM[:300], 0xC000, False, id="cut header"),
        pytest.param(bytes(2 * MEBIBYTE + 1), 0xA700, False, id="too large"),
        pytest.param(CT, 0x0122, True, id="CT"),
    ],
)
def test_good_film_beside_a_bad_one_is_stored(
    client: httpx.Client, bad: bytes, reason: int, is_named: bool, assert_stored: Callable[..., None]
) -> None:
    answer = stow(client, FILM, bad, OTHER)
    assert answer.status_code == 202, answer.text
    assert stored(answer) == [uid_of_film(FILM), uid_of_film(OTHER)]
    assert failed(answer) == ([(uid_of_film(bad), reason)] if is_named else [])
    assert others(answer) == ([] if is_named else [reason])
    assert_stored(FILM, OTHER)


def test_film_of_another_study_fails(client: httpx.Client, assert_stored: Callable[..., None]) -> None:
    path = f"{PATH}/{read(FILM).StudyInstanceUID}"
    answer = stow(client, OTHER, path=path)
    assert (answer.status_code, failed(answer)) == (409, [(uid_of_film(OTHER), 0xA900)])
    assert_stored()
    both = stow(client, OTHER, FILM, path=path)
    assert (both.status_code, stored(both), len(failed(both))) == (202, [uid_of_film(FILM)], 1)
    assert_stored(FILM)


def test_request_of_nothing_that_is_taken_stores_nothing(
    client: httpx.Client, assert_stored: Callable[..., None]
) -> None:
    answer = stow(client, CT)
    assert (answer.status_code, failed(answer)) == (409, [(uid_of_film(CT), 0x0122)])
    assert stow(client, CT, b"garbage").status_code == 409
    assert stow(client, b"garbage").status_code == 409
    assert_stored()


def test_key_object_that_rejects_a_film_withdraws_it(
    gateway: GatewayProcess, client: httpx.Client, redis_server: RedisServer
) -> None:
    study, instance = str(read(FILM).StudyInstanceUID), uid_of_film(FILM)
    assert stow(client, FILM).status_code == 200
    assert stow(client, key_object({study: [instance]}, title=OF_INTEREST)).status_code == 200
    (film,) = client.get(f"/v1/studies/{study}").json()["instances"]
    assert film["outcome"] is None
    for _ in range(2):  # repeating it is harmless
        assert stow(client, key_object({study: [instance]})).status_code == 200
    film = client.get(film["links"]["self"]).json()
    assert (film["outcome"], film["reason"]) == ("not_assessed", "withdrawn")
    assert payloads(gateway)[0].read_bytes() == FILM


def test_key_object_that_cannot_be_read_is_refused(client: httpx.Client, gateway: GatewayProcess) -> None:
    note = key_object({"1.2": ["1.2.3"]}, title="")
    answer = stow(client, note)
    assert (answer.status_code, [reason for _, reason in failed(answer)]) == (409, [0xC000])
    assert payloads(gateway) == []


# -- what is refused as a whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        pytest.param({"Content-Type": "image/png"}, related(FILM), 415, "unsupported_media_type", id="type"),
        pytest.param(
            {"Content-Type": f'multipart/related; type="image/png"; boundary={BOUNDARY}'},
            related(FILM),
            415,
            "unsupported_media_type",
            id="related type",
        ),
        pytest.param(
            STORE, related(FILM, media_type="image/png"), 415, "unsupported_media_type", id="type of the part"
        ),
        pytest.param(STORE | {"Content-Encoding": "gzip"}, related(FILM), 415, "unsupported_encoding", id="compressed"),
        pytest.param(STORE | {"Accept": "application/dicom+xml"}, related(FILM), 406, "not_acceptable", id="accept"),
        pytest.param(STORE | {"Accept": "*/*;q=0"}, related(FILM), 406, "not_acceptable", id="accept nothing"),
        pytest.param(STORE, b"", 400, "no_instances", id="empty"),
        pytest.param(STORE, related(), 400, "no_instances", id="no part"),
        pytest.param({"Content-Type": "application/dicom"}, b"", 400, "no_instances", id="empty instance"),
        pytest.param(
            {"Content-Type": 'multipart/related; type="application/dicom"'},
            related(FILM),
            400,
            "malformed_multipart",
            id="no boundary",
        ),
        pytest.param(STORE, related(FILM)[:-20], 400, "malformed_multipart", id="cut"),
        pytest.param(STORE, FILM, 400, "malformed_multipart", id="no multipart"),
        pytest.param(STORE, related(bytes(2 * MEBIBYTE + 1)), 413, "payload_too_large", id="instance too large"),
        pytest.param(STORE, opening() + bytes(7 * MEBIBYTE), 413, "payload_too_large", id="request too large"),
        pytest.param(STORE, b"\r\n".join([opening("")] * 31), 413, "too_many_parts", id="too many parts"),
    ],
)
def test_request_that_is_refused_leaves_nothing(
    client: httpx.Client,
    headers: dict[str, str],
    body: bytes,
    status: int,
    code: str,
    assert_stored: Callable[..., None],
) -> None:
    for content in (body, iter([body])):
        assert_problem(client.post(PATH, content=content, headers=headers), status, code)
    assert_stored()


def test_study_that_is_no_uid_is_not_there(client: httpx.Client, gateway: GatewayProcess) -> None:
    assert_problem(stow(client, FILM, path=f"{PATH}/1.02"), 404, "not_found")
    assert_problem(stow(client, FILM, path=f"{PATH}?priorty=stat"), 422, "invalid_parameter")
    assert payloads(gateway) == []


# -- what breaks off ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["hang up", "cut body", "broken chunk"])
def test_request_that_breaks_off_keeps_what_was_whole(
    gateway: GatewayProcess, client: httpx.Client, ending: str, assert_stored: Callable[..., None]
) -> None:
    large = dicom_film(seed=3, rows=900, columns=900)
    body = related(FILM, large)[: -MEBIBYTE // 2]
    with connect(gateway) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(body) + body + b"\r\n")
        wait_until(lambda: len(payloads(gateway)) >= 1, what="the first film")
        last_words = {"cut body": b"0\r\n\r\n", "broken chunk": b"nonsense\r\n"}
        connection.sendall(last_words.get(ending, b""))
        if ending == "cut body":
            (answer,) = read_answers(connection, stop_after=1)
            assert answer.status == 202
    assert_stored(FILM)


def test_instances_before_the_limit_of_a_request_are_kept_and_told_of(
    client: httpx.Client, assert_stored: Callable[..., None]
) -> None:
    endless = related(FILM, OTHER).removesuffix(b"--\r\n") + b"\r\n\r\n"
    chunks = [endless, *[bytes(MEBIBYTE)] * 7]
    answer = client.post(PATH, content=iter(chunks), headers=STORE)
    assert (answer.status_code, len(stored(answer)), others(answer)) == (202, 2, [0xA700])
    assert stow(client, FILM, OTHER).status_code == 200
    assert_stored(FILM, OTHER)


# -- what is full ------------------------------------------------------------------------------------------------------


def test_full_queue_takes_what_fits_and_then_nothing(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    settings = LIMITS | {"api_routine_depth": 1, "api_stat_reserve": 0}
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url, **settings) as small, small.client() as client:
        small.wait_ready()
        answer = stow(client, FILM, OTHER)
        assert (answer.status_code, stored(answer)) == (202, [uid_of_film(FILM)])
        assert failed(answer) == [(uid_of_film(OTHER), 0xA700)]
        check_stored(small, client, mortal_redis_server, FILM)
        full = stow(client, OTHER)
        assert (full.status_code, failed(full)) == (503, [(uid_of_film(OTHER), 0xA700)])
        assert 1 <= int(full.headers["retry-after"]) <= 120
        unread = client.post(PATH, content=iter([related(OTHER)]), headers=STORE)
        assert_problem(unread, 503, "queue_full")
        assert "retry-after" in unread.headers
        assert stow(client, FILM).status_code == 200, "what is known needs no room"
        check_stored(small, client, mortal_redis_server, FILM)


def test_spool_without_room_is_a_full_service(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    settings = LIMITS | {"spool_quota_bytes": MEBIBYTE}
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url, **settings) as small, small.client() as client:
        small.wait_ready()
        large = dicom_film(seed=3, rows=900, columns=900)
        answer = stow(client, large)
        assert (answer.status_code, others(answer)) == (503, [0xA700])
        assert "retry-after" in answer.headers
        hopeless = bytes(2 * MEBIBYTE + 1)
        both = stow(client, hopeless, large)
        assert (both.status_code, others(both)) == (503, [0xA700] * 2), "one of them can be sent again"
        assert stow(client, large, FILM).status_code == 202
        check_stored(small, client, mortal_redis_server, FILM)


def test_redis_that_ends_meanwhile_fails_what_it_has_not_got(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url, **LIMITS) as alone, alone.client() as client:
        alone.wait_ready()
        body = related(FILM, OTHER, dicom_film(seed=3))
        first = len(opening() + FILM) + 100
        with connect(alone) as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:first])
            wait_until(lambda: counted(client, "accepted") == 1, what="the first film")
            mortal_redis_server.kill()
            connection.sendall(body[first:])
            (answer,) = read_answers(connection, stop_after=1)
        assert answer.status == 202
        module = json.loads(answer.body)
        assert [item["00081155"]["Value"] for item in module["00081199"]["Value"]] == [[uid_of_film(FILM)]]
        assert [item["00081197"]["Value"] for item in module["00081198"]["Value"]] == [[0x0110]] * 2
        assert [path.read_bytes() for path in payloads(alone)] == [FILM]
        assert_problem(stow(client, OTHER), 503, "queue_unavailable")


# -- who sends ---------------------------------------------------------------------------------------------------------


def test_key_as_a_password_stores_at_its_site_and_is_named_in_the_trail(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    keys_file = tmp_path / "keys.json"
    key = make_key(keys_file, Role.SUBMIT, sites=["icu"])
    # One film at once and hardly one later: a request of many is one upload, and its sender waits for the others.
    settings: dict[str, Any] = LIMITS | {
        "api_keys_file": keys_file,
        "api_upload_rate_per_key": 100,
        "api_upload_burst_per_key": 1,
    }
    with GatewayProcess(tmp_path, redis_url=redis_server.url, **settings) as guarded:
        guarded.wait_ready()
        films = [dicom_film(seed=seed, rows=96, columns=96) for seed in range(3)]
        session = create_session_from_user_pass("archive", key)
        sender = DICOMwebClient(f"{guarded.url}/dicom-web", session=session)
        assert len(sender.store_instances([read(film) for film in films]).ReferencedSOPSequence) == 3
        trail = tmp_path / "audit"
        wait_until(lambda: len(accepted_in(trail)) == 3, what="three films in the trail")
        assert {(entry["who"], entry["site"]) for entry in accepted_in(trail)} == {(id_of(key), "icu")}
        with guarded.client() as client:
            assert stow(client, FILM).status_code == 401
            elsewhere = stow(client, FILM, path=f"{PATH}?site=other", **bearer(key))
            assert_problem(elsewhere, 403, "site_not_allowed")


def accepted_in(trail: Path) -> list[dict[str, object]]:
    """Return the audit entries of films that were taken in."""
    return [entry for entry in entries_in(trail) if entry["event"] == "accepted"]


# -- real clients and real files ---------------------------------------------------------------------------------------


def test_bytes_as_orthanc_sends_them_are_stored(
    gateway: GatewayProcess, client: httpx.Client, assert_stored: Callable[..., None]
) -> None:
    """Chunked, each part with its length, a boundary of 73 characters (PROTOCOLS §1)."""
    boundary = "e0a6-" * 14 + "abc"
    part = b"--%b\r\nContent-Type: application/dicom\r\nContent-Length: %d\r\n\r\n" % (boundary.encode(), len(FILM))
    body = part + FILM + b"\r\n--" + boundary.encode() + b"--"
    head = HEAD.replace(BOUNDARY.encode(), boundary.encode()) + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    (answer,) = exchange(
        gateway, head, *[b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks], b"0\r\n\r\n", stop_after=1
    )
    assert answer.status == 200
    assert_stored(FILM)


def test_every_real_file_has_an_answer(client: httpx.Client) -> None:
    files = {path.name: path.read_bytes() for path in sorted(shared_data("dicom").rglob("*.dcm"))}
    assert len(files) > 100
    taken = 0
    for name, content in files.items():
        answer = stow(client, content)
        assert answer.status_code in (200, 409, 413), f"{name}: {answer.status_code}"
        if answer.status_code != 413:
            assert len(stored(answer)) + len(failed(answer)) + len(others(answer)) == 1, name
            taken += len(stored(answer))
    small = [content for content in files.values() if len(content) < 100_000][:30]
    together = stow(client, *small)
    assert len(stored(together)) + len(failed(together)) + len(others(together)) == len(small)
    assert taken > 10
