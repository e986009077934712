"""R15: five times what the worker can score: what is accepted is scored, the rest is told when to come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import pytest

from services.worker.bundles import default_bundle_directory
from tests.bar.conftest import MeasureRow
from tests.support.gateway import GatewayProcess
from tests.support.invariant import mark_safe
from tests.support.parts import Parts, backlog, wait_quiet
from tests.support.redis_server import RedisServer
from tests.support.senders import Sent, accepted, disorderly, http_client, numbered_films, send_all, send_once

TIMES: Final = 5
OFFERED_TIMES: Final = 6  # so that five remain where the callers are slowed down
DEPTH: Final = 200
WARMING_UP: Final = 20
MEASURED: Final = 100
FLOOD_SECONDS: Final = 30.0
CALLERS: Final = 16
MEBIBYTE: Final = 1024**2


@dataclass
class Peaks:
    """The most that was seen at any moment."""

    depth: int = 0
    gateway_bytes: int = 0
    redis_bytes: int = 0


@pytest.mark.row
@pytest.mark.alone
def test_flood_is_scored_as_far_as_it_is_accepted_and_the_rest_is_told_when_to_come_back(
    mortal_redis_server: RedisServer, tmp_path: Path, measure_row: MeasureRow
) -> None:
    server = mortal_redis_server
    parts = Parts(directory=tmp_path, server=server, bundle=default_bundle_directory())
    limits = {"api_routine_depth": DEPTH, "api_stat_reserve": 0}
    with (
        measure_row("R15", f"admission at {TIMES} times the sustainable rate") as row,
        parts.gateway(**limits) as gateway,
        # The real worker and network, one film at a time: a rate of which the callers can offer the multiple.
        parts.worker(worker_cores=1, worker_max_batch=1),
    ):
        row.note("scaled", f"{FLOOD_SECONDS:.0f} s instead of 60, depth {DEPTH} instead of 1000")
        send_all(gateway.url, numbered_films(WARMING_UP))
        wait_quiet(server, seconds=120)
        rate, first = sustainable_rate(server, gateway)
        row.note("sustainable_per_second", round(rate, 1))
        with watching(server, gateway) as peaks:
            offered_per_second, flood = offer(gateway, rate * OFFERED_TIMES)
        row.mark("offered_over_sustainable", round(offered_per_second / rate, 1), at_least=TIMES)
        row.note("accepted", len(accepted(flood)))
        row.mark("refused", sum(bool(one.refusals) for one in flood), at_least=1)
        row.mark("refusals_without_a_proper_retry_after", len(disorderly(flood)), exactly=0)
        row.mark("connections_broken", sum(one.broken for one in flood), exactly=0)
        row.mark("most_depth", peaks.depth, at_most=DEPTH)
        row.mark("gateway_rss_mib", round(peaks.gateway_bytes / MEBIBYTE), at_most=512)
        row.mark("redis_rss_mib", round(peaks.redis_bytes / MEBIBYTE), at_most=64)
        wait_quiet(server, seconds=120)
        with server.client() as client, http_client(gateway.url) as http:
            mark_safe(row, client, {one.film_id for one in accepted([*first, *flood])}, http=http)


def sustainable_rate(server: RedisServer, gateway: GatewayProcess) -> tuple[float, list[Sent]]:
    """Return how many films a second come to their outcome while some always wait."""
    started = time.monotonic()
    sent = send_all(gateway.url, numbered_films(MEASURED, start=WARMING_UP))
    wait_quiet(server, seconds=120)
    return MEASURED / (time.monotonic() - started), sent


def offer(gateway: GatewayProcess, per_second: float) -> tuple[float, list[Sent]]:
    """Send films at a steady rate, each once, whatever is answered; return the rate that was reached and what came."""
    films = numbered_films(int(per_second * FLOOD_SECONDS), start=WARMING_UP + MEASURED)
    started = time.monotonic()

    def call(number: int) -> Sent:
        sent = Sent(payload=films[number])
        time.sleep(max(0.0, started + number / per_second - time.monotonic()))  # a timetable, not a wait for something
        send_once(client, films[number], sent)
        return sent

    with http_client(gateway.url) as client, ThreadPoolExecutor(CALLERS) as callers:
        sent = list(callers.map(call, range(len(films))))
    return len(films) / (time.monotonic() - started), sent


@contextmanager
def watching(server: RedisServer, gateway: GatewayProcess) -> Iterator[Peaks]:
    """Look at depth and memory ten times a second."""
    peaks, stop = Peaks(), threading.Event()
    gateway_process, redis_process = psutil.Process(gateway.process.pid), psutil.Process(server.pid)

    def look() -> None:
        while not stop.wait(0.1):
            peaks.depth = max(peaks.depth, backlog(server))
            peaks.gateway_bytes = max(peaks.gateway_bytes, gateway_process.memory_info().rss)
            peaks.redis_bytes = max(peaks.redis_bytes, redis_process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()
