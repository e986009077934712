"""The client against a server that says, byte for byte, what a test tells it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence

import pytest

from services.bench.connections import ConnectionPool, Undelivered

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Told: yes\r\n\r\nok"


class Server:
    """Answers each request of every connection with the next of ``answers``; ``None`` hangs up."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length")), b": 0")
                self.requests.append(head + await reader.readexactly(int(length.split(b":")[1])))
                answer = self._answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def served(
    *answers: bytes | None, patience_seconds: float = 60, idle_seconds: float = 60
) -> AsyncIterator[tuple[ConnectionPool, Server]]:
    server = Server(answers)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/below"
    pool = ConnectionPool(url, patience_seconds=patience_seconds, idle_seconds=idle_seconds)
    try:
        yield pool, server
    finally:
        await pool.close()
        listener.close()
        await listener.wait_closed()


async def test_connection_is_kept_and_the_request_is_what_was_asked_for() -> None:
    async with served(OK, OK) as (pool, server):
        answer = await pool.request("POST", "/v1?a=b", headers={"content-type": "image/png"}, body=(b"abc", b"de"))
        again = await pool.request("GET", "/v1")
    assert (answer.status, answer.body, answer.headers["x-told"], answer.is_success) == (200, b"ok", "yes", True)
    assert again == answer
    assert server.connections == 1
    head, body = server.requests[0].split(b"\r\n\r\n")
    assert head.startswith(b"POST /below/v1?a=b HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"content-length: 5" in head
    assert b"content-type: image/png" in head
    assert body == b"abcde"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nX-Told: yes\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    ],
    ids=["interim", "chunked"],
)
async def test_answer_is_put_together(answer: bytes) -> None:
    async with served(answer) as (pool, _):
        got = await pool.request("GET", "/")
    assert (got.status, got.body) == (200, b"ok")


async def test_connection_that_the_server_ends_is_not_used_again() -> None:
    closing = OK.replace(b"X-Told: yes", b"connection: close")
    async with served(closing, OK) as (pool, server):
        for _ in range(2):
            assert (await pool.request("GET", "/")).is_success
    assert server.connections == 2


async def test_refusal_is_an_answer() -> None:
    async with served(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nRetry-After: 3\r\n\r\n") as (pool, _):
        answer = await pool.request("GET", "/")
    assert (answer.status, answer.is_success, answer.headers["retry-after"]) == (503, False, "3")


@pytest.mark.parametrize(
    ("answer", "code"),
    [(None, "connection_lost"), (b"?", "malformed")],
)
async def test_request_without_an_answer_says_why_and_is_not_repeated(answer: bytes | None, code: str) -> None:
    async with served(answer, OK) as (pool, server):
        with pytest.raises(Undelivered) as undelivered:
            await pool.request("GET", "/")
        assert undelivered.value.code == code
        assert len(server.requests) == 1
        assert (await pool.request("GET", "/")).is_success


async def test_answer_that_does_not_end_in_time_is_none() -> None:
    async with served(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", patience_seconds=0.2) as (pool, _):
        with pytest.raises(Undelivered) as undelivered:
            await pool.request("GET", "/")
    assert undelivered.value.code == "timeout"


async def test_connection_that_was_idle_for_long_is_replaced() -> None:
    async with served(OK, OK, idle_seconds=0) as (pool, server):
        for _ in range(2):
            assert (await pool.request("GET", "/")).is_success
    assert server.connections == 2


async def test_server_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can be there
        pool = ConnectionPool(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(Undelivered) as undelivered:
            await pool.request("GET", "/")
    assert undelivered.value.code == "unreachable"
