"""D1, D2: many films by C-STORE at once, and a listener killed while they come: none is lost, memory is bounded."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from services.dicom.codes import Status
from tests.bar.conftest import MeasureRow
from tests.support.dimse import DimseProcess, answered, send
from tests.support.films import dicom_film
from tests.support.gateway import wait_until
from tests.support.ports import free_ports
from tests.support.redis_server import RedisServer

MEBIBYTE: Final = 1024**2
ASSOCIATIONS: Final = 10
FILMS: Final = 1000
LARGE_SIDE: Final = 3072  # 18 MiB of pixels: ten of them are more than the listener may hold
KILLS: Final = 8
KILLED_FILMS: Final = 300
SECONDS: Final = 300.0
# pynetdicom's sender takes the answer that it waits for for a request now and then, where its threads are late
# (its association.py, _run_reactor: `_is_paused` is still set when it goes on), and gives the association up.
MOST_SENT_AGAIN: Final = 2
# Of each association: a mebibyte of its film, and what its PDUs take while they are read; and the allocator's share.
MEMORY_BYTES: Final = ASSOCIATIONS * 8 * MEBIBYTE


def small_films(count: int) -> list[bytes]:
    return [dicom_film(seed=seed, rows=96, columns=96) for seed in range(count)]


def large_films(count: int) -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 4096, (LARGE_SIDE, LARGE_SIDE), dtype=np.uint16)
    return [dicom_film(pixels, seed=seed) for seed in range(count)]


def send_side_by_side(port: int, films: Sequence[bytes]) -> tuple[list[int], int]:
    """Send the films in so many associations at once; return their statuses, and how many had to be sent again."""
    shares = [films[start::ASSOCIATIONS] for start in range(ASSOCIATIONS)]
    with ThreadPoolExecutor(ASSOCIATIONS) as senders:
        ends = list(senders.map(lambda share: _send_all(port, share), shares))
    return [status for statuses, _ in ends for status in statuses], sum(again for _, again in ends)


def _send_all(port: int, films: Sequence[bytes]) -> tuple[list[int], int]:
    """Send the films in one association; where a film got no answer, in another one from that film on."""
    statuses: list[int] = []
    again = -1
    while len(statuses) < len(films) and again < MOST_SENT_AGAIN:
        again += 1
        statuses += answered(port, films[len(statuses) :])
    return statuses, again


def peak_bytes(process: DimseProcess) -> int:
    """Return the most memory that a process has held so far."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def payloads(process: DimseProcess) -> list[str]:
    return [path.name for path in process.files() if path.suffix != ".json" and path.parent.name != "tmp"]


@pytest.mark.row
def test_many_associations_at_once_lose_nothing_and_hold_little(
    mortal_redis_server: RedisServer, tmp_path: Path, measure_row: MeasureRow
) -> None:
    settings = {"api_routine_depth": 2 * FILMS, "dimse_max_associations": ASSOCIATIONS}
    with (
        measure_row("D1", "ten associations, a thousand films") as row,
        DimseProcess(tmp_path, redis_url=mortal_redis_server.url, **settings) as process,
    ):
        process.wait_ready()
        before_bytes = peak_bytes(process)
        began = time.monotonic()
        statuses, again = send_side_by_side(process.port, small_films(FILMS))
        row.note("films_per_second", round(FILMS / (time.monotonic() - began), 1))
        row.mark("successes", statuses.count(Status.SUCCESS), exactly=FILMS)
        process.wait_idle()
        statuses, large_again = send_side_by_side(process.port, large_films(ASSOCIATIONS))
        row.mark("large_successes", statuses.count(Status.SUCCESS), exactly=ASSOCIATIONS)
        row.mark("sent_again", again + large_again, at_most=MOST_SENT_AGAIN)
        row.mark("payloads", len(set(payloads(process))), exactly=FILMS + ASSOCIATIONS)
        with mortal_redis_server.client() as client:
            row.mark("queued", client.zcard("{cxr}:open"), exactly=FILMS + ASSOCIATIONS)
        row.mark(
            "more_memory_mib", round((peak_bytes(process) - before_bytes) / MEBIBYTE), at_most=MEMORY_BYTES // MEBIBYTE
        )


@pytest.mark.row
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pynetdicom as a sender, where nobody listens
def test_a_listener_killed_again_and_again_loses_no_confirmed_film(
    mortal_redis_server: RedisServer, tmp_path: Path, measure_row: MeasureRow
) -> None:
    (port,) = free_ports(1)
    films, confirmed, is_over = small_films(KILLED_FILMS), set(), threading.Event()

    def start() -> DimseProcess:
        process = DimseProcess(tmp_path, redis_url=mortal_redis_server.url, dimse_port=port)
        process.ports()
        return process

    def keep_sending() -> None:
        due = time.monotonic() + SECONDS
        for number, film in enumerate(films):
            while time.monotonic() < due and not _is_taken(port, film):
                pass
            confirmed.add(number)
        is_over.set()

    with measure_row("D2", "a DIMSE listener killed while films come") as row:
        process, sender, kills = start(), threading.Thread(target=keep_sending), 0
        sender.start()
        chance = random.Random(0)
        while kills < KILLS and not is_over.is_set():
            reached = len(confirmed) + chance.randint(5, 25)
            wait_until(lambda goal=reached: len(confirmed) >= goal or is_over.is_set(), what="more films")
            process.kill()
            kills += 1
            process = start()
        sender.join(SECONDS)
        with mortal_redis_server.client() as client:
            row.mark("kills", kills, at_least=KILLS)
            row.mark("confirmed", len(confirmed), exactly=KILLED_FILMS)
            row.mark("queued", client.zcard("{cxr}:open"), exactly=KILLED_FILMS)
        kept = {name.partition(".")[0] for name in payloads(process)}
        row.mark("films_in_the_spool", len(kept), exactly=KILLED_FILMS)
        row.mark("exit_code", process.stop(), exactly=0)
        gc.collect()  # so that no later test finds those sockets


def _is_taken(port: int, film: bytes) -> bool:
    """Send a film once; whatever goes wrong, the sender comes again."""
    try:
        (answer,) = send(port, film)
    except (AssertionError, RuntimeError, OSError):
        return False
    return "Status" in answer and answer.Status == Status.SUCCESS
