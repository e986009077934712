"""R8: the disk below Redis, the spool or the audit trail runs full, and is enlarged."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from services.jobs import keys
from tests.bar.conftest import MeasureRow
from tests.support.bar import Row
from tests.support.bundles import write_tiny_bundle
from tests.support.gateway import GatewayProcess
from tests.support.parts import Parts, mark_end, wait_done, wait_quiet
from tests.support.redis_server import EVERY_REDIS, RedisServer
from tests.support.senders import Sent, accepted, disorderly, numbered_films, send_all, send_until_refused
from tests.support.small_disk import SmallDisk, small_disk

DISK_MEGABYTES: Final = 12
ENLARGED_MEGABYTES: Final = 64
FREE_BYTES: Final = 512 * 1024  # the rest of the disk is ballast, so that a few hundred films fill it
MANY: Final = 1000
AFTER: Final = 10
RECOVERY_SECONDS: Final = 30.0
SECONDS: Final = 60.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", megabytes=DISK_MEGABYTES) as disk:
        yield disk


@pytest.mark.row
@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_full_disk_below_redis_loses_no_acknowledged_film(
    redis_binary: Path, disk: SmallDisk, tmp_path: Path, measure_row: MeasureRow
) -> None:
    (disk.directory / "redis").mkdir()
    server = RedisServer(redis_binary, disk.directory / "redis")
    parts = Parts(directory=tmp_path, server=server, bundle=write_tiny_bundle(tmp_path / "tiny"))
    with measure_row("R8", "the disk below Redis is full") as row, supervised(server) as deaths:
        with parts.gateway() as gateway, parts.worker():
            _fill_and_recover(row, gateway, server, disk)
        row.mark("deaths_of_redis", len(deaths), at_least=1)


@pytest.mark.row
def test_full_disk_below_the_spool_leaves_nothing_half_written(
    mortal_redis_server: RedisServer, disk: SmallDisk, tmp_path: Path, measure_row: MeasureRow
) -> None:
    spool = disk.directory / "spool"
    bundle = write_tiny_bundle(tmp_path / "tiny")
    parts = Parts(directory=tmp_path, server=mortal_redis_server, bundle=bundle, spool=spool)
    with measure_row("R8", "the disk below the spool is full") as row, parts.gateway() as gateway, parts.worker():
        sent = _fill_and_recover(row, gateway, mortal_redis_server, disk)
        row.mark("refused_with_507", sum(refusal.status == 507 for one in sent for refusal in one.refusals), at_least=1)
        row.mark("payloads_not_as_sent", len(_damaged(spool)), exactly=0)
        row.mark("uploads_left_behind", len(list((spool / "tmp").iterdir())), exactly=0)


@pytest.mark.row
def test_full_disk_below_the_audit_trail_stops_no_film(
    mortal_redis_server: RedisServer, disk: SmallDisk, tmp_path: Path, measure_row: MeasureRow
) -> None:
    server = mortal_redis_server
    bundle = write_tiny_bundle(tmp_path / "tiny")
    parts = Parts(directory=tmp_path, server=server, bundle=bundle, audit=disk.directory / "audit")
    with measure_row("R8", "the disk below the audit trail is full") as row:
        with parts.gateway() as gateway, parts.worker():
            disk.leave_free(FREE_BYTES // 8)
            row.note("scaled", f"ballast leaves {FREE_BYTES // 8 // 1024} KiB of the disk's {DISK_MEGABYTES} MB")
            sent = send_all(gateway.url, numbered_films(MANY // 2), seconds=SECONDS)
            row.mark("refused", sum(one.record is None for one in sent), exactly=0)
            wait_done(gateway.url, sent, seconds=SECONDS)
            row.mark("results_that_wait_for_the_ledger", _ledger_due(server), at_least=1)
            disk.enlarge(ENLARGED_MEGABYTES)
            started = time.monotonic()
            while _ledger_due(server) and time.monotonic() - started < SECONDS:
                time.sleep(0.1)
            row.mark("recovery_seconds", round(time.monotonic() - started, 1), at_most=RECOVERY_SECONDS)
            mark_end(row, server, gateway.url, sent, scored=len(sent))
        row.mark("results_not_in_the_ledger", len(_missing(disk.directory / "audit", sent)), exactly=0)


def _fill_and_recover(row: Row, gateway: GatewayProcess, server: RedisServer, disk: SmallDisk) -> list[Sent]:
    """Send films until the disk is full and some more, enlarge it, and mark what became of all of them."""
    disk.leave_free(FREE_BYTES)
    row.note("scaled", f"ballast leaves {FREE_BYTES // 1024} KiB of the disk's {DISK_MEGABYTES} MB")
    films = numbered_films(MANY + AFTER)
    sent = send_until_refused(gateway.url, films[:MANY])
    row.note("accepted_until_full", len(accepted(sent)))
    sent += send_all(gateway.url, films[MANY:], seconds=0.0)
    refused = [one.payload for one in sent if one.record is None]
    row.mark("not_accepted", len(refused), at_least=1)
    if found := disorderly(sent):
        row.note("disorderly", sorted({f"{refusal.status} {refusal.code}" for refusal in found}))
    row.mark("disorderly_refusals", len(found), exactly=0)
    row.mark("connections_broken", sum(one.broken for one in sent), exactly=0)
    disk.enlarge(ENLARGED_MEGABYTES)
    started = time.monotonic()
    again = send_all(gateway.url, refused, seconds=SECONDS)
    wait_done(gateway.url, [*sent, *again], seconds=SECONDS)
    row.mark("recovery_seconds", round(time.monotonic() - started, 1), at_most=RECOVERY_SECONDS)
    wait_quiet(server, seconds=SECONDS)
    everything = accepted([*sent, *again])
    mark_end(row, server, gateway.url, everything, scored=len({one.payload for one in sent}))
    return sent


@contextmanager
def supervised(server: RedisServer) -> Iterator[list[float]]:
    """Start Redis, and again whenever it ends, as every deployment does; yield when it was found dead."""
    deaths: list[float] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.1):
            if not server.is_running:
                deaths.append(time.monotonic())
                with suppress(RuntimeError):  # the disk is still full
                    server.start()

    server.start()
    watching = threading.Thread(target=watch, name="supervisor")
    watching.start()
    try:
        yield deaths
    finally:
        is_over.set()
        watching.join()
        server.stop()


def _damaged(spool: Path) -> list[str]:
    """Return the payloads that readers can see and that are not what their sidecar says."""
    damaged = []
    for payload in spool.glob("[0-9a-f][0-9a-f]/*"):
        if payload.suffix in (".json", ".preview") or payload.suffix.startswith(".heatmap"):
            continue
        job = json.loads(payload.with_name(f"{payload.name}.json").read_text())
        if hashlib.sha256(payload.read_bytes()).hexdigest() != job["sha256"]:
            damaged.append(payload.name)
    return damaged


def _ledger_due(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.zcard(keys.LEDGER_DUE))


def _missing(audit: Path, sent: list[Sent]) -> set[str]:
    written = "".join(file.read_text() for file in sorted(audit.rglob("*.jsonl")))
    return {one.film_id for one in sent if one.film_id not in written}
