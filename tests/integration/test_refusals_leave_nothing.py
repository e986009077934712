"""Whatever an upload is refused for: nothing of it stays in the spool, in Redis, in the quota or among the uploads."""

from __future__ import annotations

import base64
import re
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.films import dicom_film, png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.raw_http import Answer, connect, read_answers
from tests.support.redis_server import RedisServer

MEBIBYTE = 1024**2
PNG = {"Content-Type": "image/png"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
OPENING = b"POST /v1/instances HTTP/1.1\r\nHost: gateway\r\nContent-Type: image/png\r\n"
OTHER_DIGEST = PNG | {"Content-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}
LARGE = png_film(seed=1) + bytes(2 * MEBIBYTE)
BEGUN_UPLOAD = OPENING + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(LARGE) + LARGE + b"\r\n"


LIMITS = {
    "api_max_payload_bytes": 3 * MEBIBYTE,
    "api_routine_depth": 1,
    "api_stat_reserve": 0,
    "spool_quota_bytes": 7 * MEBIBYTE,
}


@pytest.fixture(scope="module")
def gateway(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway whose patience no busy machine tries, or it would refuse uploads for that."""
    settings = LIMITS | {"api_upload_idle_seconds": 200}
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), redis_url=shared_redis_server.url, **settings) as process:
        process.wait_ready()
        yield process


@pytest.fixture
def client(gateway: GatewayProcess, redis_server: RedisServer) -> Iterator[httpx.Client]:
    assert payloads(gateway) == []
    with gateway.client() as client:
        yield client
    gateway.empty_spool()


def payloads(gateway: GatewayProcess) -> list[Path]:
    return [path for path in gateway.spool_directory.rglob("*") if path.is_file() and path.suffix != ".json"]


def metric(client: httpx.Client, name: str) -> float:
    return float(re.findall(rf"^{name} (\S+)", client.get("/metrics").text, re.MULTILINE)[0])


def assert_nothing_is_left(gateway: GatewayProcess, client: httpx.Client, redis_server: RedisServer) -> None:
    wait_until(lambda: metric(client, "cxr_uploads_in_flight") == 0, what="the end of the upload")
    assert [path for path in gateway.spool_directory.rglob("*") if path.is_file()] == []
    assert metric(client, "cxr_spool_payload_bytes") == 0
    with redis_server.client() as redis:
        assert redis.keys("{cxr}:s:*") == []
        assert redis.zcard("{cxr}:open") == 0


@pytest.mark.parametrize(
    ("payload", "headers", "status"),
    [
        pytest.param(LARGE, {"Content-Type": "text/plain"}, 415, id="foreign type"),
        pytest.param(bytes(2 * MEBIBYTE), PNG, 415, id="no film"),
        pytest.param(LARGE, {"Content-Type": "application/dicom"}, 415, id="another format than declared"),
        pytest.param(LARGE, PNG | {"Content-Encoding": "gzip"}, 415, id="compressed"),
        pytest.param(LARGE, OTHER_DIGEST, 422, id="other bytes than vouched for"),
        pytest.param(LARGE[:20], PNG, 422, id="header cut"),
        pytest.param(b"", PNG, 422, id="empty"),
        pytest.param(LARGE + LARGE, PNG, 413, id="too large"),
        pytest.param(b"--b\r\n\r\n" + LARGE, FORM, 400, id="no form"),
        pytest.param(
            dicom_film(seed=1, StudyInstanceUID="1.2|3"), {"Content-Type": "application/dicom"}, 422, id="UID"
        ),
    ],
)
def test_refused_payload_leaves_nothing(
    gateway: GatewayProcess,
    client: httpx.Client,
    redis_server: RedisServer,
    payload: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    for content in (payload, iter([payload])):  # with a length, and in chunks
        assert client.post("/v1/instances", content=content, headers=headers).status_code == status
    assert_nothing_is_left(gateway, client, redis_server)


@pytest.mark.parametrize(
    ("ending", "statuses"),
    [("hang up", []), ("broken chunk", [400]), ("trailers without end", [431])],
)
def test_upload_that_ends_badly_leaves_nothing(
    gateway: GatewayProcess, client: httpx.Client, redis_server: RedisServer, ending: str, statuses: list[int]
) -> None:
    # What is read with the last of the body does not count against the bound: so more than one read takes.
    last_words = {"broken chunk": b"nonsense\r\n", "trailers without end": b"0\r\nX: " + b"a" * MEBIBYTE}
    with connect(gateway) as connection:
        connection.sendall(BEGUN_UPLOAD)
        wait_until(lambda: has_first_mebibyte(client), what="the first mebibyte")
        connection.sendall(last_words.get(ending, b""))
        if statuses:
            assert [answer.status for answer in read_answers(connection)] == statuses
    assert_nothing_is_left(gateway, client, redis_server)


def has_first_mebibyte(client: httpx.Client) -> bool:
    return metric(client, "cxr_spool_payload_bytes") >= MEBIBYTE


def answered(connections: list[socket.socket]) -> list[socket.socket]:
    """Return the connections on which there is something to read now."""
    return select.select(connections, [], [], 0)[0]


def test_upload_that_stalls_leaves_nothing(redis_server: RedisServer, tmp_path: Path) -> None:
    settings = LIMITS | {"api_upload_idle_seconds": 2}
    with GatewayProcess(tmp_path, redis_url=redis_server.url, **settings) as impatient, impatient.client() as client:
        impatient.wait_ready()
        with connect(impatient) as connection:
            connection.sendall(BEGUN_UPLOAD)
            # Whoever looks too late sees the answer, and nothing of the upload any more.
            wait_until(lambda: has_first_mebibyte(client) or bool(answered([connection])), what="the first mebibyte")
            assert [answer.status for answer in read_answers(connection)] == [408]
        assert_nothing_is_left(impatient, client, redis_server)


def test_uploads_that_find_the_spool_full_meanwhile_leave_nothing(
    gateway: GatewayProcess, client: httpx.Client, redis_server: RedisServer
) -> None:
    """Four of two mebibytes and more do not fit into seven; none of them sends its last byte."""
    film = bytes(3 * MEBIBYTE - 1)
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(gateway)) for _ in range(4)]
        for connection in connections:
            connection.sendall(OPENING + b"Content-Length: %d\r\n\r\n" % len(film) + film[:-1])
        wait_until(lambda: bool(answered(connections)), what="an answer")
        statuses = [answer.status for connection in answered(connections) for answer in read_answers(connection)]
    assert set(statuses) == {507}
    assert_nothing_is_left(gateway, client, redis_server)


# The last one, because a film stays.
def test_upload_that_finds_the_queue_filled_meanwhile_leaves_nothing(
    gateway: GatewayProcess, client: httpx.Client
) -> None:
    """Both are admitted while there is room for one; the second is refused after its last byte."""
    films = [png_film(seed=seed) for seed in (1, 2)]
    with connect(gateway) as one, connect(gateway) as other:
        for connection, film in ((one, films[0]), (other, films[1])):
            connection.sendall(OPENING + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(film))
            assert connection.recv(4096).startswith(b"HTTP/1.1 100 "), "admitted"
        answers: list[Answer] = []
        for connection, film in ((one, films[0]), (other, films[1])):
            connection.sendall(film)
            answers += read_answers(connection, stop_after=1)
    assert [(answer.status, answer.problem_code) for answer in answers] == [(202, None), (503, "queue_full")]
    assert [path.read_bytes() for path in payloads(gateway)] == [films[0]]
    assert metric(client, "cxr_spool_payload_bytes") == len(films[0])
    assert len(list(gateway.spool_directory.rglob("*.json"))) == 1
