"""S1: damaged films, through a real gateway and worker: each is refused or ends with a reason, and nothing dies."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from model.errors import ImageError, Reason
from services.worker.decoding.messages import DecodingLimits
from services.worker.decoding.pool import DecodingPool
from tests.bar.conftest import MeasureRow
from tests.support.bar import Row
from tests.support.decoding_pools import DecodingRequest, decode, write_request, zygote
from tests.support.family import MEBIBYTE, Memory, watched_memory
from tests.support.gateway import GatewayProcess
from tests.support.invariant import mark_safe
from tests.support.mutants import mutants, seed_films
from tests.support.parts import Parts, records, wait_done
from tests.support.senders import Sent, accepted, http_client, send_once
from tests.support.shared_data import shared_data_or_none

SEED: Final = 20_261_121
# RELIABILITY.md §2 S1.
FOR_EVERY_CHANGE: Final = 1_000
FOR_A_RELEASE: Final = 50_000
MOST_CHILD_BYTES: Final = 1024 * MEBIBYTE
MOST_P99_MS: Final = 250.0
# Real seeds are small ones: a mutant of a large film says no more and takes its time.
_MOST_SEED_BYTES: Final = 512 * 1024
_SECONDS: Final = 60.0
LIMITS: Final = DecodingLimits(memory_bytes=1024 * MEBIBYTE, seconds=10.0, films=200)


def real_seeds() -> list[bytes]:
    """Return real DICOM films of every kind that is there, where the shared data is."""
    folders = (shared_data_or_none("dicom", name) for name in ("chest_radiograph", "other_xray"))
    files = [path for folder in folders if folder is not None for path in sorted(folder.glob("*.dcm"))]
    return [path.read_bytes() for path in files if path.stat().st_size <= _MOST_SEED_BYTES]


def odd_files() -> list[bytes]:
    """Return what others found to break readers, where the shared data is."""
    folders = (shared_data_or_none("hostile"), shared_data_or_none("dicom", "odd_or_broken"))
    found = [path for folder in folders if folder is not None for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path.read_bytes() for path in found if path.stat().st_size]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """How one film fared in a decoding child."""

    milliseconds: float
    reason: Reason | None


async def decode_directly(directory: Path, payloads: Sequence[bytes]) -> tuple[list[Decoded], Memory]:
    """Decode films one after the other, as a worker does, with a clock around each and an eye on the child."""
    pool = DecodingPool(size=1, limits=LIMITS)
    await pool.start()
    try:
        with watched_memory(zygote().pid) as memory:
            return [await _decode(pool, write_request(directory, payload)) for payload in payloads], memory
    finally:
        await pool.close()


async def _decode(pool: DecodingPool, request: DecodingRequest) -> Decoded:
    started, reason = time.perf_counter(), None
    try:
        await decode(pool, request)
    except ImageError as error:
        reason = error.reason
    taken_ms = (time.perf_counter() - started) * 1000
    request.path.unlink()
    return Decoded(milliseconds=taken_ms, reason=reason)


def send_each_once(url: str, payloads: Sequence[bytes]) -> list[Sent]:
    sent = [Sent(payload=payload) for payload in payloads]
    with http_client(url) as client, ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda one: send_once(client, one.payload, one), sent))
    return sent


def mark_what_became_of_them(row: Row, gateway: GatewayProcess, sent: list[Sent]) -> None:
    refusals = Counter(refusal.status for one in sent for refusal in one.refusals)
    row.mark("answers_5xx", sum(count for status, count in refusals.items() if status >= 500), exactly=0)
    row.mark("answers_broken", sum(one.broken for one in sent), exactly=0)
    row.note("refused_4xx", sum(count for status, count in refusals.items() if status < 500))
    found = records(gateway.url, [one.film_id for one in accepted(sent)])
    outcomes = Counter(record["outcome"] for record in found.values())
    reasons = Counter(record["reason"] for record in found.values() if record["outcome"] == "not_assessed")
    row.mark("ended_without_reason", reasons[None] + outcomes[None], exactly=0)
    row.mark("died_in_the_decoder", reasons[Reason.DECODE_CRASH] + reasons[Reason.WORKER_CRASH], exactly=0)
    other_bytes = [
        one
        for one in accepted(sent)
        if found[one.film_id]["sha256"] != hashlib.sha256(one.payload).hexdigest()
        and found[one.film_id]["sop_instance_uid"] is None
    ]
    row.mark("records_of_other_bytes", len(other_bytes), exactly=0)
    row.note("not_assessed", outcomes["not_assessed"])
    row.note("scored_as_the_bytes_that_they_are", outcomes["flagged"] + outcomes["not_flagged"])
    row.note("reasons", ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())))


def mark_decoding(row: Row, directory: Path, payloads: Sequence[bytes]) -> None:
    """Time what the gateway accepts and what not alike: the decoder must bear both."""
    directory.mkdir()
    decoded, memory = asyncio.run(decode_directly(directory, payloads))
    times = np.array([film.milliseconds for film in decoded])
    row.note("decode_p50_ms", round(float(np.percentile(times, 50)), 1))
    row.mark("decode_p99_ms", round(float(np.percentile(times, 99)), 1), at_most=MOST_P99_MS)
    row.note("decode_max_ms", round(float(times.max()), 1))
    lost = {Reason.DECODE_CRASH, Reason.DECODE_TIMEOUT}
    row.mark("children_crashed_or_hung", sum(film.reason in lost for film in decoded), exactly=0)
    row.mark("child_rss_mib", round(memory.descendant_bytes / MEBIBYTE), at_most=MOST_CHILD_BYTES / MEBIBYTE)


def measure(row: Row, parts: Parts, payloads: Sequence[bytes]) -> None:
    # As deep as the row is long: this is about films, not about backpressure.
    with parts.gateway(api_routine_depth=len(payloads) + 1) as gateway, parts.worker() as worker:
        with watched_memory(worker.process.pid) as memory:
            sent = send_each_once(gateway.url, payloads)
            wait_done(gateway.url, sent, seconds=_SECONDS + len(payloads) / 20)
        row.mark("worker_deaths", int(worker.process.poll() is not None), exactly=0)
        mark_what_became_of_them(row, gateway, sent)
        _note_memory(row, memory)
        with parts.server.client() as client, http_client(gateway.url) as http:
            mark_safe(row, client, {one.film_id for one in accepted(sent)}, http=http)
    mark_decoding(row, parts.directory / "directly", payloads)


def _note_memory(row: Row, memory: Memory) -> None:
    row.note("worker_rss_mib", round(memory.own_bytes / MEBIBYTE))
    row.mark("worker_child_rss_mib", round(memory.descendant_bytes / MEBIBYTE), at_most=MOST_CHILD_BYTES / MEBIBYTE)


@pytest.mark.row
@pytest.mark.alone
@pytest.mark.parametrize(
    "count", [FOR_EVERY_CHANGE, pytest.param(FOR_A_RELEASE, marks=[pytest.mark.release, pytest.mark.timeout(7200)])]
)
def test_mutated_films_are_refused_or_end_with_a_reason(parts: Parts, measure_row: MeasureRow, count: int) -> None:
    seeds = seed_films() + real_seeds()
    with measure_row("S1", f"{count:,} mutated films") as row:
        row.note("seeds", len(seeds))
        measure(row, parts, list(mutants(seeds, count, seed=SEED)))


@pytest.mark.row
@pytest.mark.alone
def test_files_that_broke_other_readers_break_nothing_here(parts: Parts, measure_row: MeasureRow) -> None:
    payloads = odd_files()
    if not payloads:
        pytest.skip("no shared data: hostile and dicom/odd_or_broken are absent (set TRIAGE_TEST_DATA)")
    with measure_row("S1", "files that broke other readers") as row:
        row.note("files", len(payloads))
        measure(row, parts, payloads)
