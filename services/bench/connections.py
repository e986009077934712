"""Keep-alive HTTP/1.1 connections for a load generator that shares its cores with what it measures.

Knows HTTP and no films. What the generator spends is missing from the service on the same cores: a POST of 500 kB costs
0.3 ms of processor time here and 2.3 ms by httpx, one of 1 kB 0.03 and 0.8 ms (2026-11-21, in turn in one process on
uvloop, on a busy machine). The parser is httptools, the one that the gateway reads requests with.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import SplitResult, urlsplit

import httptools

_CONNECT_SECONDS: Final = 5.0
_PORTS: Final = {"http": 80, "https": 443}


class Undelivered(Exception):
    """A request has no answer. ``code`` is ``unreachable``, ``connection_lost``, ``malformed`` or ``timeout``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 2xx."""
        return 200 <= self.status < 300


class ConnectionPool:
    """Connections to one server, opened as they are needed and reused last in, first out.

    Parameters
    ----------
    url
        ``http`` or ``https``; its path stands before every target.
    headers
        Sent with every request.
    patience_seconds
        A request without an answer after this is ``timeout``.
    idle_seconds
        A connection that was not used for so long is replaced, before its server closes it (uvicorn after 5 s).
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        patience_seconds: float = 60.0,
        idle_seconds: float = 2.0,
    ) -> None:
        self._place = urlsplit(url)
        self._headers = {"host": self._place.netloc.rpartition("@")[2], **(headers or {})}
        self._patience_seconds = patience_seconds
        self._idle_seconds = idle_seconds
        self._tls = ssl.create_default_context() if self._place.scheme == "https" else None
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()

    async def request(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: Sequence[bytes] = ()
    ) -> Answer:
        """Send one request and return its answer, whatever its status.

        Raises
        ------
        Undelivered
            If there is none. Nothing is sent twice: a retry would hide what is measured.
        """
        try:
            async with asyncio.timeout(self._patience_seconds):
                connection = self._reusable() or await self._connected()
                answer = await connection.exchange(self._head(method, target, headers or {}, body), body)
        except TimeoutError as error:
            raise Undelivered("timeout") from error
        if connection.is_open:
            self._idle.append(connection)
        return answer

    async def close(self) -> None:
        """Close every connection."""
        for connection in tuple(self._open):
            connection.close()
        await asyncio.gather(*(connection.closed for connection in self._open))

    def _reusable(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.idle_seconds < self._idle_seconds:
                return connection
            connection.close()
        return None

    async def _connected(self) -> _Connection:
        loop, place = asyncio.get_running_loop(), self._place
        port = place.port or _PORTS[place.scheme]
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await loop.create_connection(_Connection, place.hostname or "", port, ssl=self._tls)
        except (OSError, TimeoutError) as error:
            raise Undelivered("unreachable") from error
        self._open.add(connection)
        connection.closed.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    def _head(self, method: str, target: str, headers: Mapping[str, str], body: Sequence[bytes]) -> bytes:
        length = {"content-length": str(sum(map(len, body)))} if body or method == "POST" else {}
        lines = [f"{name}: {value}\r\n" for name, value in {**self._headers, **headers, **length}.items()]
        return f"{method} {_path(self._place)}{target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1")


def _path(place: SplitResult) -> str:
    return place.path.rstrip("/")


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._clock = loop.time
        self._idle_since = loop.time()
        self._is_kept_alive = True
        self._answer: asyncio.Future[Answer] | None = None

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent on it."""
        return self._is_kept_alive and not self.closed.done()

    @property
    def idle_seconds(self) -> float:
        """How long ago its last exchange ended."""
        return self._clock() - self._idle_since

    async def exchange(self, head: bytes, body: Sequence[bytes]) -> Answer:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._transport.writelines([head, *body])
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None
            self._idle_since = self._clock()

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's, and do what they do.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)
        self._fail("connection_lost")

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # something that nobody asked for
            return self.close()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("malformed")

    def _fail(self, code: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Undelivered(code))

    # What httptools calls while it reads.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue: the answer follows
            self._headers = {}
            return
        self._is_kept_alive = self._parser.should_keep_alive()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(status=status, headers=self._headers, body=b"".join(self._body)))
