"""S2: films that are small to send and ruinous to believe are refused from their headers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import httpx
import pytest

from model.errors import ImageError
from services.worker.decoding.messages import DecodingLimits
from services.worker.decoding.pool import DecodingPool
from tests.bar.conftest import MeasureRow
from tests.support.bar import Row
from tests.support.bombs import Bomb, bombs
from tests.support.decoding_pools import decode, write_request
from tests.support.family import MEBIBYTE, watched_memory
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess
from tests.support.invariant import mark_safe
from tests.support.parts import Parts, count_scored, records, wait_done
from tests.support.senders import Sent, accepted, http_client

# RELIABILITY.md §2 S2.
MOST_MS: Final = 200.0
# What a gateway may need more for a body of a few MiB; a bomb that it believed would need gigabytes.
MOST_GATEWAY_GROWTH_BYTES: Final = 64 * MEBIBYTE
# A child that decodes nothing needs its own pages and the payload.
MOST_CHILD_BYTES: Final = 256 * MEBIBYTE
LIMITS: Final = DecodingLimits(memory_bytes=1024 * MEBIBYTE, seconds=10.0, films=200)
_SECONDS: Final = 60.0
# The fastest of a few: what the refusal costs, not what else the machine was doing.
_TRIES: Final = 3


def post(client: httpx.Client, bomb: Bomb) -> tuple[httpx.Response, float]:
    """Send a bomb; return the answer, and how many ms it took."""
    times = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        answer = client.post("/v1/instances", content=bomb.payload, headers=bomb.headers)
        times.append((time.perf_counter() - started) * 1000)
    return answer, min(times)


def send_bombs(row: Row, gateway: GatewayProcess, found: dict[str, Bomb]) -> dict[str, Sent]:
    """Send every bomb and mark what the gateway says to it; return the films that it took in."""
    sent, slowest, wrong = {}, 0.0, []
    with watched_memory(gateway.process.pid) as memory, http_client(gateway.url) as client:
        client.post("/v1/instances", content=png_film()).raise_for_status()
        before_bytes = memory.own_bytes
        for name, bomb in found.items():
            answer, milliseconds = post(client, bomb)
            # The last of the tries may find the film done already.
            if answer.status_code not in (*bomb.statuses, *((200,) if 202 in bomb.statuses else ())):
                wrong.append(f"{name}: {answer.status_code}")
            if answer.is_success:
                sent[name] = Sent(payload=bomb.payload, record=answer.json())
            slowest = max(slowest, milliseconds)
    row.note("unexpected_answers", "; ".join(wrong))
    row.mark("answered_unexpectedly", len(wrong), exactly=0)
    row.mark("slowest_answer_of_the_gateway_ms", round(slowest, 1), at_most=MOST_MS)
    grown_mib = round((memory.own_bytes - before_bytes) / MEBIBYTE, 1)
    row.mark("gateway_growth_mib", grown_mib, at_most=MOST_GATEWAY_GROWTH_BYTES / MEBIBYTE)
    return sent


def mark_ends(row: Row, gateway: GatewayProcess, sent: dict[str, Sent], found: dict[str, Bomb]) -> None:
    """Mark that each film that was taken in ended for the reason that its header gives."""
    known = records(gateway.url, [one.film_id for one in sent.values()])
    wrong = []
    for name, one in sent.items():
        bomb, record = found[name], known[one.film_id]
        is_scored = record["outcome"] in ("flagged", "not_flagged")
        if not (is_scored and bomb.is_scored_too) and record["reason"] not in bomb.reasons:
            wrong.append(f"{name}: {record['reason'] or record['outcome']}")
    row.note("unexpected_ends", "; ".join(wrong))
    row.mark("ended_unexpectedly", len(wrong), exactly=0)


async def refuse_directly(directory: Path, found: dict[str, Bomb]) -> dict[str, float]:
    """Return how many ms a decoding child takes to end each bomb that is no film."""
    pool = DecodingPool(size=1, limits=LIMITS)
    await pool.start()
    taken_ms = {}
    try:
        for name, bomb in found.items():
            request, times = write_request(directory, bomb.payload), []
            for _ in range(_TRIES):
                started = time.perf_counter()
                try:
                    await decode(pool, request)
                except ImageError:
                    times.append((time.perf_counter() - started) * 1000)
            if times:
                taken_ms[name] = min(times)
    finally:
        await pool.close()
    return taken_ms


@pytest.mark.row
def test_bombs_are_refused_from_their_headers(parts: Parts, measure_row: MeasureRow) -> None:
    server = parts.server
    found = bombs()
    with measure_row("S2", "bombs are refused from their headers") as row:
        row.note("bombs", len(found))
        with parts.gateway() as gateway, parts.worker() as worker:
            with watched_memory(worker.process.pid) as memory:
                sent = send_bombs(row, gateway, found)
                wait_done(gateway.url, sent.values(), seconds=_SECONDS)
            mark_ends(row, gateway, sent, found)
            row.mark("worker_deaths", int(worker.process.poll() is not None), exactly=0)
            row.mark("decoder_rss_mib", round(memory.descendant_bytes / MEBIBYTE), at_most=MOST_CHILD_BYTES / MEBIBYTE)
            with server.client() as client, http_client(gateway.url) as http:
                film_ids = {one.film_id for one in accepted(sent.values())}
                mark_safe(row, client, film_ids, http=http)
                row.note("scored_although_odd", count_scored(client, film_ids))
        directory = parts.directory / "directly"
        directory.mkdir()
        taken_ms = asyncio.run(refuse_directly(directory, found))
        slowest = max(taken_ms, key=lambda name: taken_ms[name])
        row.note("slowest_bomb", slowest)
        row.mark("slowest_refusal_of_the_decoder_ms", round(taken_ms[slowest], 1), at_most=MOST_MS)
