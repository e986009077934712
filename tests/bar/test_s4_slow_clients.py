"""S4: clients that are slow, and clients that never stop, are cut off; everybody else hardly notices."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import httpx
import numpy as np
import pytest

from tests.bar.conftest import MeasureRow
from tests.support.gateway import GatewayProcess
from tests.support.parts import Parts, mark_end, wait_done
from tests.support.raw_http import connect, exchange, read_answers
from tests.support.senders import numbered_films, send_all
from tests.support.stow import STORE_TYPE, opening

MEBIBYTE: Final = 1024**2
IN_BODY: Final = 200
IN_HEADERS: Final = 50
PATIENCE_SECONDS: Final = 60.0
HUGE_BYTES: Final = 400 * MEBIBYTE
PART_BYTES: Final = 64 * 1024
# What the kernel holds between two processes of one machine, and what is under way when the answer comes.
BUFFERED_BYTES: Final = 8 * MEBIBYTE
HOST: Final = b"Host: gateway\r\n"
BODY: Final = b"POST /v1/instances HTTP/1.1\r\n" + HOST + b"Content-Type: image/png\r\nContent-Length: 1000000\r\n\r\n"
LIVE: Final = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
HEADERS: Final = b"GET /v1/studies HTTP/1.1\r\n" + HOST + b"X-Slow: "
CHUNKED: Final = b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Type: "
STORE_BODY: Final = (
    b"POST /dicom-web/studies HTTP/1.1\r\n" + HOST + b"Content-Type: " + STORE_TYPE.encode() + b"\r\n"
    b"Content-Length: 1000000\r\n\r\n" + opening()
)
# Beyond the bound of one instance the rest of it is read and dropped, because others may follow, up to this.
STORE_BYTES: Final = 96 * MEBIBYTE
FORM: Final = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How a slow client ended; status 0 is a connection that ended without an answer."""

    status: int
    seconds: float


@dataclass
class Probing:
    """How long ``/health/live`` took, time after time."""

    seconds: list[float] = field(default_factory=list)
    failures: int = 0


@pytest.mark.row
@pytest.mark.alone
def test_slow_and_endless_clients_are_cut_off_while_health_stays_quick(parts: Parts, measure_row: MeasureRow) -> None:
    # Room for all of them at once: the others would be refused at once, and prove nothing.
    with (
        measure_row("S4", "slow and huge clients") as row,
        parts.gateway(api_max_uploads=IN_BODY + 10, api_max_store_bytes=STORE_BYTES) as gateway,
    ):
        with probing(gateway) as probes:
            cuts = asyncio.run(attack(gateway))
        bodies, headers = cuts[:IN_BODY], cuts[IN_BODY:]
        row.note("statuses", str(Counter(cut.status for cut in cuts)))
        row.mark("slow_bodies_answered_408", sum(cut.status == 408 for cut in bodies), exactly=IN_BODY)
        row.mark("slow_headers_answered_408", sum(cut.status == 408 for cut in headers), exactly=IN_HEADERS)
        row.mark("longest_seconds_until_cut", round(max(cut.seconds for cut in cuts), 1), at_most=30)
        row.note("health_probes", len(probes.seconds))
        row.mark("health_failures", probes.failures, exactly=0)
        row.mark("health_p99_ms", round(1000 * float(np.quantile(probes.seconds, 0.99)), 1), at_most=250)

        for name, path, media_type, begun, most_bytes in (
            ("raw", b"/v1/instances", b"image/png", b"", 64 * MEBIBYTE),
            ("form", b"/v1/instances", b"multipart/form-data; boundary=b", FORM, 64 * MEBIBYTE),
            ("stow", b"/dicom-web/studies", STORE_TYPE.encode(), opening(), STORE_BYTES),
        ):
            status, sent_bytes = stream_without_end(gateway, path, media_type, begun)
            row.mark(f"{name}_of_400_mb_answered", status, exactly=413)
            row.mark(
                f"{name}_mb_sent_until_413",
                round(sent_bytes / MEBIBYTE, 1),
                at_most=(most_bytes + BUFFERED_BYTES) / MEBIBYTE,
            )

        left = [path for path in (parts.directory / "spool").rglob("*") if path.is_file()]
        row.mark("files_left_by_all_of_them", len(left), exactly=0)
        with gateway.client() as client:
            row.mark("uploads_still_in_flight", in_flight(client), exactly=0)
        with parts.worker():
            sent = send_all(gateway.url, numbered_films(20))
            wait_done(gateway.url, sent, seconds=PATIENCE_SECONDS)
            mark_end(row, parts.server, gateway.url, sent, scored=20)


async def attack(gateway: GatewayProcess) -> list[Cut]:
    bodies = (drip(gateway, STORE_BODY if number % 4 == 0 else BODY) for number in range(IN_BODY))
    headers = (drip(gateway, HEADERS) for _ in range(IN_HEADERS))
    return list(await asyncio.gather(*bodies, *headers))


async def drip(gateway: GatewayProcess, begun: bytes) -> Cut:
    """Send a byte a second until an answer comes, or patience ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    started = time.monotonic()
    answer = asyncio.create_task(reader.readline())
    line = b""
    # The gateway may end the connection without an answer, which then counts as none.
    with suppress(ConnectionError):
        writer.write(begun)
        while not answer.done() and time.monotonic() - started < PATIENCE_SECONDS:
            writer.write(b"x")
            await writer.drain()
            await asyncio.wait([answer], timeout=1.0)
        line = answer.result() if answer.done() else b""
    seconds = time.monotonic() - started
    answer.cancel()
    writer.close()
    return Cut(status=int(line.split()[1]) if line else 0, seconds=seconds)


@contextmanager
def probing(gateway: GatewayProcess) -> Iterator[Probing]:
    """Ask for health again and again from a thread, on a new connection each time, as probes do."""
    probes, stop = Probing(), threading.Event()

    def ask() -> None:
        while not stop.wait(0.02):
            started = time.monotonic()
            # By hand: a client library would spend more time on itself than the gateway on the answer.
            answers = exchange(gateway, LIVE, stop_after=1)
            probes.seconds.append(time.monotonic() - started)
            probes.failures += [answer.status for answer in answers] != [200]

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield probes
    finally:
        stop.set()
        thread.join()


def stream_without_end(gateway: GatewayProcess, path: bytes, media_type: bytes, begun: bytes) -> tuple[int, int]:
    """Send a body of 400 MB in chunks; return the status of the answer, and how much was sent when it came."""
    part = b"%x\r\n" % PART_BYTES + bytes(PART_BYTES) + b"\r\n"
    with connect(gateway) as connection:
        connection.sendall(b"POST " + path + CHUNKED + media_type + b"\r\n\r\n")
        if begun:
            connection.sendall(b"%x\r\n" % len(begun) + begun + b"\r\n")
        sent_bytes = 0
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent_bytes < HUGE_BYTES and not has_answer(connection):
                connection.sendall(part)
                sent_bytes += PART_BYTES
        answers = read_answers(connection, stop_after=1)
    return (answers[0].status if answers else 0), sent_bytes


def has_answer(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


def in_flight(client: httpx.Client) -> float:
    (line,) = [line for line in client.get("/metrics").text.splitlines() if line.startswith("cxr_uploads_in_flight ")]
    return float(line.split()[1])
