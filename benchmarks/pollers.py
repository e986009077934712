"""Pages that poll, as many as are wanted, in a process of their own: what they cost is not the gateway's.

``python -m benchmarks.pollers URL --clients 1000 --every 5 --seconds 60``. Each client is a browser's page without its
browser: a connection that is kept while the gateway keeps it, a tag for each address, and a pause between two looks.
Their beginnings are spread over one pause. Prints ``begin`` when every client has its first answers and one pause has
gone by, then what was answered from then on, as one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import uvloop

_PATIENCE_SECONDS: Final = 30.0
# What a browser sends along with every call of the page; the gateway has to read it.
_HEADERS: Final = (
    "Connection: keep-alive\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36\r\n"
    "X-Requested-By-Page: 1\r\n"
    "Accept: */*\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: cors\r\n"
    "Sec-Fetch-Dest: empty\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB\r\n"
)


class AnswerBroken(Exception):
    """A connection ended within an answer, or it was none of HTTP."""


@dataclass(frozen=True, kw_only=True)
class Polling:
    """Who asks what: ``clients`` ask for every one of ``paths``, then pause until ``every_seconds`` have gone by."""

    url: str
    paths: Sequence[str]
    clients: int
    every_seconds: float
    seconds: float
    cookie: str | None = None


@dataclass(kw_only=True)
class Answers:
    """What was answered: how often by status, how many bytes of bodies, how long each took, who was not answered."""

    statuses: Counter[int] = field(default_factory=Counter)
    body_bytes: int = 0
    connections: int = 0
    broken: int = 0
    seconds: list[float] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """Return it as JSON has it, with the time that the slowest hundredth took at least."""
        ordered = sorted(self.seconds)
        slow = ordered[int(0.99 * len(ordered))] if ordered else None
        return {
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "body_bytes": self.body_bytes,
            "connections": self.connections,
            "broken": self.broken,
            "p99_ms": None if slow is None else 1000 * slow,
        }


class Client:
    """One page: its connection and its tags."""

    def __init__(self, polling: Polling) -> None:
        parts = urlsplit(polling.url)
        self._place = parts.hostname, parts.port
        cookie = "" if polling.cookie is None else f"Cookie: {polling.cookie}\r\n"
        self._head = f"Host: {parts.netloc}\r\n{cookie}{_HEADERS}"
        self._tags: dict[str, str] = {}
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, answers: Answers) -> None:
        """Ask once, again where a kept connection had ended, as browsers do."""
        began = time.perf_counter()
        for is_last in (self._streams is None, True):
            try:
                status, body_bytes = await self._ask(path, answers)
            except (OSError, AnswerBroken, asyncio.IncompleteReadError):
                self.close()
                if not is_last:
                    continue
                answers.broken += 1
                return
            answers.statuses[status] += 1
            answers.body_bytes += body_bytes
            answers.seconds.append(time.perf_counter() - began)
            return

    async def _ask(self, path: str, answers: Answers) -> tuple[int, int]:
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection(*self._place)
            answers.connections += 1
        reader, writer = self._streams
        tag = f"If-None-Match: {self._tags[path]}\r\n" if path in self._tags else ""
        writer.write(f"GET {path} HTTP/1.1\r\n{self._head}{tag}\r\n".encode("ascii"))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            status, headers = _head_of(await reader.readuntil(b"\r\n\r\n"))
            length = int(headers.get("content-length", "0"))
            await reader.readexactly(length)
        if status == 200 and "etag" in headers:
            self._tags[path] = headers["etag"]
        if headers.get("connection") == "close":
            self.close()
        return status, length

    def close(self) -> None:
        """End the connection; harmless if there is none."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _head_of(head: bytes) -> tuple[int, dict[str, str]]:
    """Return the status and the headers, by their names in small letters, of an answer."""
    start, *lines = head.decode("latin-1").rstrip().split("\r\n")
    if not start.startswith("HTTP/1.1 "):
        raise AnswerBroken(start)
    pairs = (line.partition(":") for line in lines)
    return int(start.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}


class Crowd:
    """All of them. What they were answered is ``answers``, from ``count`` on."""

    def __init__(self, polling: Polling) -> None:
        self._polling = polling
        self.answers = Answers()

    def count(self) -> None:
        """Count from now on."""
        self.answers = Answers()

    async def run(self, number: int) -> None:
        """Be client ``number`` until cancelled."""
        polling, client = self._polling, Client(self._polling)
        loop = asyncio.get_running_loop()
        due = loop.time() + polling.every_seconds * number / polling.clients
        try:
            while True:
                await asyncio.sleep(due - loop.time())
                for path in polling.paths:
                    await client.ask(path, self.answers)
                # As the page: the pause begins with the answer.
                due = loop.time() + polling.every_seconds
        finally:
            client.close()


async def poll(polling: Polling) -> Answers:
    """Poll for two pauses, in which everybody gets what they do not have yet, then say so, then count."""
    crowd = Crowd(polling)
    tasks = [asyncio.create_task(crowd.run(number)) for number in range(polling.clients)]
    try:
        await asyncio.sleep(2 * polling.every_seconds)
        crowd.count()
        print("begin", flush=True)
        await asyncio.sleep(polling.seconds)
        return crowd.answers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Read the command line, poll, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--path", action="append", required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--every", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--cookie")
    told = parser.parse_args()
    polling = Polling(
        url=told.url,
        paths=told.path,
        clients=told.clients,
        every_seconds=told.every,
        seconds=told.seconds,
        cookie=told.cookie,
    )
    print(json.dumps(uvloop.run(poll(polling)).document()))


if __name__ == "__main__":
    main()
