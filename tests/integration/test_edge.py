"""What reaches the gateway's socket and is no request it should serve: each has one answer, and nobody waits for it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.films import png_film
from tests.support.gateway import GatewayProcess
from tests.support.raw_http import Answer, connect, exchange, read_answers
from tests.support.redis_server import RedisServer

HOST = b"Host: gateway\r\n"
GET = b"GET /health/live HTTP/1.1\r\n" + HOST
POST = b"POST /v1/instances HTTP/1.1\r\n" + HOST + b"Content-Type: image/png\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CLIENT_HELLO = bytes.fromhex("16030102000100" + "01fc0303") + bytes(64)


@pytest.fixture(scope="module")
def gateway(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with time for headers that come byte by byte."""
    with untroubled(tmp_path_factory.mktemp("edge"), shared_redis_server, header_seconds=60.0) as process:
        yield process


@pytest.fixture(scope="module")
def hasty(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that does not wait for headers."""
    with untroubled(tmp_path_factory.mktemp("hasty"), shared_redis_server, header_seconds=1.0) as process:
        yield process


@contextlib.contextmanager
def untroubled(directory: Path, server: RedisServer, *, header_seconds: float) -> Iterator[GatewayProcess]:
    """Run a gateway that is to end well, and without trouble in its log."""
    process = GatewayProcess(directory, redis_url=server.url, api_header_seconds=header_seconds)
    process.wait_ready()
    yield process
    assert process.stop() == 0, process.output[-3000:]
    for trouble in ("request failed", "Traceback", "Exception in ASGI"):
        assert trouble not in process.output


def refused(answers: list[Answer], status: int, code: str) -> None:
    """The last answer is this problem, and the connection ends with it."""
    last = answers[-1]
    assert (last.status, last.problem_code) == (status, code), answers
    assert last.headers["content-type"] == "application/problem+json"
    assert last.headers["connection"] == "close"
    assert last.headers["x-content-type-options"] == "nosniff"
    assert last.headers["cache-control"] == "no-store"
    document = json.loads(last.body)
    assert set(document) == {"type", "status", "title", "detail", "instance", "code"}


MALFORMED = {
    "bare line feeds": b"GET /health/live HTTP/1.1\nHost: gateway\n\n",
    "one bare line feed": b"GET /health/live HTTP/1.1\r\nHost: gateway\nX: y\r\n\r\n",
    "bare carriage returns": b"GET /health/live HTTP/1.1\rHost: gateway\r\r",
    "HTTP/0.9 with its name": b"GET /health/live HTTP/0.9\r\n\r\n",
    "HTTP/2.0": b"GET /health/live HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/1.2": b"GET /health/live HTTP/1.2\r\n" + HOST + b"\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS on the plain port": CLIENT_HELLO,
    "CONNECT": b"CONNECT elsewhere:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute form without a path": b"GET http://elsewhere HTTP/1.1\r\n" + HOST + b"\r\n",
    "method that is none": b"FETCH /health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "two hosts": GET + HOST + b"\r\n",
    "folded header": GET + b"X: a\r\n b\r\n\r\n",
    "space before the colon": GET + b"X : a\r\n\r\n",
    "nothing before the colon": GET + b": a\r\n\r\n",
    "NUL in the path": b"GET /health\x00/live HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in a name": GET + b"X\x00Y: a\r\n\r\n",
    "NUL in a value": GET + b"X: a\x00b\r\n\r\n",
    "bytes beyond ASCII in the path": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "negative length": POST + b"Content-Length: -3\r\n\r\nabc",
    "length with a plus": POST + b"Content-Length: +3\r\n\r\nabc",
    "length of many digits": POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "empty length": POST + b"Content-Length:\r\n\r\nabc",
    "the same length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "coding before chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding after chunked": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "coding like chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked by HTTP/1.0": b"POST /v1/instances HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "upgrade with a body": POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
    "negative chunk": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "chunk of many digits": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
    "chunk that is longer than it says": CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
    "chunk with a bare line feed": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_clean_http_is_malformed(gateway: GatewayProcess, request_bytes: bytes) -> None:
    refused(exchange(gateway, request_bytes), 400, "malformed_http")


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_is_so_byte_by_byte_too(gateway: GatewayProcess, request_bytes: bytes) -> None:
    refused(exchange(gateway, *(bytes([byte]) for byte in request_bytes)), 400, "malformed_http")


def test_too_many_bytes_of_headers_are_refused(gateway: GatewayProcess) -> None:
    refused(exchange(gateway, GET + b"X: " + b"a" * 33_000 + b"\r\n\r\n"), 431, "headers_too_large")
    refused(exchange(gateway, b"GET /" + b"a" * 33_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"), 431, "headers_too_large")


def test_headers_without_end_are_refused_before_they_end(gateway: GatewayProcess) -> None:
    endless = (b"a" * 1000 for _ in range(10_000))
    refused(exchange(gateway, GET + b"X: ", *endless), 431, "headers_too_large")


def test_request_line_without_end_is_refused_before_it_ends(gateway: GatewayProcess) -> None:
    refused(exchange(gateway, b"GET /", *(b"a" * 1000 for _ in range(10_000))), 431, "headers_too_large")


def test_too_many_headers_are_refused(gateway: GatewayProcess) -> None:
    fields = b"".join(b"X%d: y\r\n" % number for number in range(99))
    (served,) = exchange(gateway, GET + fields + b"\r\n", stop_after=1)
    assert served.status == 200
    refused(exchange(gateway, GET + fields + b"X: y\r\n\r\n"), 431, "headers_too_large")


def test_trailers_and_chunk_extensions_without_end_are_refused(gateway: GatewayProcess) -> None:
    more = [b"a" * 1000] * 10_000
    refused(exchange(gateway, CHUNKED + b"3\r\nabc\r\n0\r\nX: ", *more), 431, "headers_too_large")
    refused(exchange(gateway, CHUNKED + b"3;", *more), 431, "headers_too_large")
    many = b"".join(b"X%d: y\r\n" % number for number in range(102))
    refused(exchange(gateway, CHUNKED + b"3\r\nabc\r\n0\r\n" + many), 431, "headers_too_large")


def test_chunk_extensions_and_trailers_of_a_fair_size_do_no_harm(gateway: GatewayProcess) -> None:
    body = b'3;name="value"\r\nabc\r\n0\r\nContent-Encoding: gzip\r\n\r\n'
    (answer,) = exchange(gateway, CHUNKED + body, stop_after=1)
    assert (answer.status, answer.problem_code) == (415, "unsupported_format"), "the trailer is no header"


@pytest.mark.parametrize("chunk_bytes", [1, 7, 20_000])
def test_film_is_the_same_however_many_chunks_come_at_once(gateway: GatewayProcess, chunk_bytes: int) -> None:
    film = png_film(seed=5)
    chunks = [film[start : start + chunk_bytes] for start in range(0, len(film), chunk_bytes)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    (answer,) = exchange(gateway, CHUNKED + body + b"0\r\n\r\n", stop_after=1)
    assert answer.status == 202
    assert json.loads(answer.body)["sha256"] == hashlib.sha256(film).hexdigest()


@pytest.mark.parametrize(
    "sent",
    [b"", b"GE", b"GET /health/live HTTP/1.1\r\n", GET, GET + b"X: y", b"\r\n", b"GET /health/live\r\n"],
    ids=["nothing", "method", "request line", "host", "half a header", "empty line", "HTTP/0.9"],
)
def test_headers_that_do_not_come_are_cut_off(hasty: GatewayProcess, sent: bytes) -> None:
    refused(exchange(hasty, sent), 408, "header_timeout")


def test_headers_that_drip_are_cut_off(hasty: GatewayProcess) -> None:
    with connect(hasty) as connection:
        connection.sendall(GET + b"X: ")
        connection.settimeout(0.05)
        deadline = time.monotonic() + 30
        answer = b""
        while not answer:
            assert time.monotonic() < deadline
            connection.sendall(b"y")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_second_request_on_a_kept_connection_has_no_more_time(hasty: GatewayProcess) -> None:
    answers = exchange(hasty, GET + b"\r\n" + GET)
    assert answers[0].status == 200
    refused(answers, 408, "header_timeout")


def test_kept_connection_that_asks_nothing_more_ends_without_an_answer(gateway: GatewayProcess) -> None:
    (answer,) = exchange(gateway, GET + b"\r\n")
    assert answer.status == 200


def test_pipelined_requests_are_answered_in_order(gateway: GatewayProcess) -> None:
    unknown = b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n"
    answers = exchange(gateway, (GET + b"\r\n") + unknown + (GET + b"\r\n"), stop_after=3)
    assert [answer.status for answer in answers] == [200, 404, 200]


def test_malformed_request_behind_others_is_answered_after_them(gateway: GatewayProcess) -> None:
    answers = exchange(gateway, 3 * (GET + b"\r\n") + b"nonsense\r\n\r\n")
    assert [answer.status for answer in answers] == [200, 200, 200, 400]
    broken_body = CHUNKED + b"nonsense\r\n"
    answers = exchange(gateway, 3 * (GET + b"\r\n") + broken_body)
    assert [answer.status for answer in answers] == [200, 200, 200, 400]


def test_pipeline_is_bounded(gateway: GatewayProcess) -> None:
    answers = exchange(gateway, 1000 * (GET + b"\r\n"))
    refused(answers, 503, "connections_busy")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 120
    assert 16 <= len(answers) <= 20


def test_request_to_the_server_as_a_whole_finds_nothing(gateway: GatewayProcess) -> None:
    (answer,) = exchange(gateway, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", stop_after=1)
    assert (answer.status, answer.problem_code) == (404, "not_found")


def test_absolute_form_is_served_as_the_path_it_names(gateway: GatewayProcess) -> None:
    (answer,) = exchange(gateway, b"GET http://elsewhere/health/live HTTP/1.1\r\n" + HOST + b"\r\n", stop_after=1)
    assert answer.status == 200


def test_upgrade_is_ignored_and_its_connection_ends(gateway: GatewayProcess) -> None:
    upgrade = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    (answer,) = exchange(gateway, upgrade, b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_http_1_0_is_served(gateway: GatewayProcess) -> None:
    (answer,) = exchange(gateway, b"GET /health/live HTTP/1.0\r\n\r\n")
    assert answer.status == 200


def test_leave_to_send_is_given_only_to_who_may_send(gateway: GatewayProcess) -> None:
    expect = b"Content-Length: 3\r\nExpect: 100-continue\r\n"
    with connect(gateway) as connection:
        connection.sendall(POST + expect + b"\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        (answer,) = read_answers(connection, stop_after=1)
        assert answer.problem_code == "unsupported_format"
    wrong = POST.replace(b"image/png", b"text/plain")
    (refusal,) = exchange(gateway, wrong + expect + b"\r\n")
    assert refusal.status == 415, "and no 100 before it"


def test_refusals_are_counted_by_their_code(gateway: GatewayProcess) -> None:
    with gateway.client() as client:
        before = rejections(client, "malformed_http")
        exchange(gateway, CLIENT_HELLO)
        assert rejections(client, "malformed_http") == before + 1


def rejections(client: httpx.Client, code: str) -> float:
    found = re.findall(rf'^cxr_rejections_total{{code="{code}"}} (\S+)', client.get("/metrics").text, re.MULTILINE)
    return float(found[0]) if found else 0.0
