"""R18: an hour of ordinary work with a killed worker every minute; nothing grows that is not counted.

``TRIAGE_SOAK_MINUTES`` shortens it by hand; what is said of growth then holds for those minutes only.
That it can fail was seen in a worker's first three minutes, in which it still grows (1.4 MiB a minute).
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import pytest

from services.jobs import keys
from tests.bar.conftest import MeasureRow
from tests.bar.kill_loop import wrong_ends
from tests.support.bar import Row
from tests.support.invariant import mark_safe
from tests.support.kill_rig import KillRig, wait_all_done
from tests.support.parts import Parts
from tests.support.patient_senders import PatientSenders
from tests.support.senders import http_client
from tests.support.told_apart_films import told_apart_films

FULL_MINUTES: Final = 60.0
FILMS_PER_SECOND: Final = 5.0
KILL_EVERY_SECONDS: Final = 60.0
SAMPLE_EVERY_SECONDS: Final = 2.0
WARM_UP_MINUTES: Final = 10.0
WARM_UP_SHARE: Final = 1 / 3  # of a shortened soak
MIBIBYTE: Final = 2**20
RSS_SLOPE_MIB_PER_MINUTE: Final = 1.0
# Connections and spool files come and go within a sample; a leak of one a film would be hundreds.
DESCRIPTORS_MAY_VARY_BY: Final = 16
# Measured 2.8: record with result, its study and index entries, two or three events (of which 10,000 are kept).
REDIS_KIB_PER_FILM: Final = 5.0
DRAIN_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a process held at a time, in seconds since the soak began."""

    at: float
    rss_bytes: int
    descriptors: int


@pytest.mark.row
@pytest.mark.release
@pytest.mark.timeout(2 * 3600)
def test_an_hour_of_work_leaves_nothing_behind(parts: Parts, measure_row: MeasureRow) -> None:
    minutes = float(os.environ.get("TRIAGE_SOAK_MINUTES", FULL_MINUTES))
    films = told_apart_films(round(minutes * 60 * FILMS_PER_SECOND), parts.bundle)
    rig = KillRig(parts, gateways=1, workers=2)
    with measure_row("R18", f"soak of {minutes:g} minutes") as row, rig.running():
        if minutes != FULL_MINUTES:
            row.note("scaled", f"{minutes:g} minutes instead of {FULL_MINUTES:g}")
        # The last worker is never killed: only of a process that lives can be said whether it grows.
        lasting = {"gateway": rig.gateway_pid, "worker": rig.workers[-1].process.pid}
        redis_before = _used_memory(parts)
        with PatientSenders(rig.urls, films, senders=1, films_per_second=FILMS_PER_SECOND) as senders:
            samples = _sample(rig, senders, {name: psutil.Process(pid) for name, pid in lasting.items()}, row)
        wait_all_done(rig, seconds=DRAIN_SECONDS)
        for name, taken in samples.items():
            _mark_growth(row, name, taken, warm_up=min(WARM_UP_MINUTES, minutes * WARM_UP_SHARE) * 60)
        # Redis grows by its records, which live for a month, and by nothing else.
        kib_per_film = (_used_memory(parts) - redis_before) / len(films) / 1024
        row.mark("redis_kib_per_film", round(kib_per_film, 2), at_most=REDIS_KIB_PER_FILM)
        row.mark("accepted", len(senders.deliveries), exactly=len(films))
        row.mark("workers_ended_by_themselves", sum(rig.exits.values()), exactly=0)
        row.mark("spool_bytes_beyond_films", _spool_bytes(parts) - _film_bytes(parts), exactly=0)
        with parts.server.client() as client, http_client(rig.urls[0]) as http:
            row.mark("other_than_undisturbed", len(wrong_ends(client, films)), exactly=0)
            mark_safe(row, client, [film.film_id for film in films], http=http)


def _sample(
    rig: KillRig, senders: PatientSenders, processes: dict[str, psutil.Process], row: Row
) -> dict[str, list[Sample]]:
    """Kill the first worker every minute and look at the others now and then, until every film is sent."""
    samples: dict[str, list[Sample]] = {name: [] for name in processes}
    started = time.monotonic()
    kills = 0
    for tick in _ticks(SAMPLE_EVERY_SECONDS):
        for name, process in processes.items():
            facts = process.memory_info().rss, process.num_fds()
            samples[name].append(Sample(at=time.monotonic() - started, rss_bytes=facts[0], descriptors=facts[1]))
        if tick >= (kills + 1) * KILL_EVERY_SECONDS:
            rig.kill_worker(0)
            kills += 1
        rig.tend()
        if senders.is_done:
            row.note("worker_kills", kills)
            return samples
    raise AssertionError("ticks never end")


def _ticks(every_seconds: float) -> Iterator[float]:
    """Yield the seconds since the first tick, at even distances."""
    started = time.monotonic()
    for number in itertools.count():
        time.sleep(max(started + number * every_seconds - time.monotonic(), 0))
        yield number * every_seconds


def _mark_growth(row: Row, name: str, samples: Sequence[Sample], *, warm_up: float) -> None:
    later = [sample for sample in samples if sample.at >= warm_up]
    at_minutes = np.array([sample.at / 60 for sample in later])
    slope = np.polyfit(at_minutes, [sample.rss_bytes / MIBIBYTE for sample in later], 1)[0]
    row.note(f"{name}_rss_mib", round(later[-1].rss_bytes / MIBIBYTE, 1))
    row.mark(f"{name}_rss_slope_mib_per_minute", round(float(slope), 3), at_most=RSS_SLOPE_MIB_PER_MINUTE)
    descriptors = [sample.descriptors for sample in later]
    row.mark(f"{name}_descriptors_vary_by", max(descriptors) - min(descriptors), at_most=DESCRIPTORS_MAY_VARY_BY)


def _used_memory(parts: Parts) -> int:
    with parts.server.client() as client:
        return int(client.info("memory")["used_memory"])


def _spool_bytes(parts: Parts) -> int:
    """Return the bytes of ``<id>.<uuid>`` and ``tmp/<uuid>``, payloads and uploads; sidecars and pictures say more."""
    spool = Path(str(parts.places["spool_directory"]))
    payloads = [path for path in spool.rglob("*") if path.is_file() and path.name.count(".") <= 1]
    return sum(path.stat().st_size for path in payloads)


def _film_bytes(parts: Parts) -> int:
    """Return the bytes of the payloads that films' records name: they are kept until retention."""
    with parts.server.client() as client:
        names = list(client.scan_iter(match=keys.instance("*"), count=1000))
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.hget(name, "bytes")
        return sum(int(size or 0) for size in pipe.execute())
