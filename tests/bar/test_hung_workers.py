"""R11: a worker that is stopped and wakes up again, and one whose inference never returns.

Shown to fail (by hand): a beat script without its owner check (the zombie steals its film back), a finish script that
does not look whether the film is done (records change, duplicates), a watchdog that is never asked (no exit).
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Sequence
from typing import Final

import pytest

from services.jobs import keys
from services.jobs.records import Priority
from services.worker.heartbeat import EXIT_HUNG
from tests.bar.conftest import MeasureRow
from tests.bar.kill_loop import wrong_ends
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.invariant import mark_safe
from tests.support.kill_rig import IDLE_SECONDS, IMPATIENT
from tests.support.parts import Parts, wait_quiet
from tests.support.senders import http_client, send_all
from tests.support.told_apart_films import ToldApartFilm, told_apart_films
from tests.support.worker_process import WorkerProcess

TAKEN_OVER_WITHIN_SECONDS: Final = IDLE_SECONDS + 5
# So long that the zombie learns of its loss by finishing, not by beating.
SLOW_BEAT_SECONDS: Final = 30.0
BATCH_DEADLINE_SECONDS: Final = 3.0
EXITS_WITHIN_SECONDS: Final = BATCH_DEADLINE_SECONDS + 5
BEATS: Final = 4
WAIT_SECONDS: Final = 60.0
HELD_FILMS: Final = 4


@pytest.mark.row
def test_a_worker_that_wakes_up_changes_nothing(parts: Parts, measure_row: MeasureRow) -> None:
    """The zombie has films of a batch that is not over; all of it, also the films still to be taken over."""
    films = told_apart_films(HELD_FILMS + 1, parts.bundle)
    told = parts.directions("told")
    with measure_row("R11a", "a worker wakes up in mid-batch after another has ended its films") as row:
        row.note("scaled", "stopped until its films are done instead of 120 s")
        slow = {**IMPATIENT, "worker_heartbeat_seconds": SLOW_BEAT_SECONDS}
        with parts.gateway() as gateway, parts.worker(name="zombie", directed_by=told, **slow) as zombie:
            told.hold()
            _send(gateway, films[:HELD_FILMS])
            wait_until(lambda: _in_flight(zombie) == HELD_FILMS, what="a held batch", seconds=WAIT_SECONDS)
            zombie.process.send_signal(signal.SIGSTOP)
            with parts.worker(name="successor", **IMPATIENT):
                began = time.monotonic()
                wait_quiet(parts.server, seconds=WAIT_SECONDS)
            row.mark("seconds_to_take_over", round(time.monotonic() - began, 1), at_most=TAKEN_OVER_WITHIN_SECONDS)
            before = _hashes(parts, films[:HELD_FILMS])
            told.go_on()
            zombie.process.send_signal(signal.SIGCONT)
            wait_until(lambda: _in_flight(zombie) == 0, what="the zombie's own finishes", seconds=WAIT_SECONDS)
            row.mark("changed_records", _differences(before, _hashes(parts, films[:HELD_FILMS])), exactly=0)
            _send(gateway, films[HELD_FILMS:])
            wait_quiet(parts.server, seconds=WAIT_SECONDS)
            row.mark("zombie_works_on", zombie.process.poll() is None, exactly=True)
            with parts.server.client() as client, http_client(gateway.url) as http:
                row.mark("other_than_undisturbed", len(wrong_ends(client, films)), exactly=0)
                mark_safe(row, client, [film.film_id for film in films], http=http)


@pytest.mark.row
def test_a_worker_that_wakes_up_does_not_steal_its_film_back(parts: Parts, measure_row: MeasureRow) -> None:
    films = told_apart_films(1, parts.bundle)
    of_zombie, of_successor = parts.directions("zombie-told"), parts.directions("successor-told")
    with (
        measure_row("R11b", "a worker wakes up while another works on the film that it held") as row,
        parts.gateway() as gateway,
        parts.worker(name="zombie", directed_by=of_zombie, **IMPATIENT) as zombie,
    ):
        of_zombie.hold()
        _send(gateway, films)
        wait_until(lambda: bool(of_zombie.attempts()), what="the zombie's batch", seconds=WAIT_SECONDS)
        zombie.process.send_signal(signal.SIGSTOP)
        of_successor.hold()
        with parts.worker(name="successor", directed_by=of_successor, **IMPATIENT):
            wait_until(lambda: bool(of_successor.attempts()), what="the successor's batch", seconds=WAIT_SECONDS)
            successor = _owner(parts, films[0])
            zombie.process.send_signal(signal.SIGCONT)
            wait_until(lambda: _has_logged(zombie, "job_lost"), what="that the zombie knows", seconds=WAIT_SECONDS)
            _wait_beats(zombie, BEATS)
            row.mark("stolen_back", _owner(parts, films[0]) != successor, exactly=False)
            of_zombie.go_on()
            wait_until(lambda: _in_flight(zombie) == 0, what="the zombie's end of it", seconds=WAIT_SECONDS)
            row.mark("still_open_for_successor", _open_films(parts), exactly=1)
            of_successor.go_on()
            wait_quiet(parts.server, seconds=WAIT_SECONDS)
        with parts.server.client() as client:
            row.mark("other_than_undisturbed", len(wrong_ends(client, films)), exactly=0)
            mark_safe(row, client, [film.film_id for film in films])


@pytest.mark.row
def test_a_worker_whose_inference_never_returns_ends_itself(parts: Parts, measure_row: MeasureRow) -> None:
    films = told_apart_films(HELD_FILMS, parts.bundle)
    told = parts.directions("told")
    with measure_row("R11c", "inference that never returns") as row, parts.gateway() as gateway:
        row.note("scaled", f"batch deadline {BATCH_DEADLINE_SECONDS:g} s instead of 60 s")
        hasty = {**IMPATIENT, "worker_batch_deadline_seconds": BATCH_DEADLINE_SECONDS}
        with parts.worker(name="hung", directed_by=told, **hasty) as hung:
            told.hold()
            _send(gateway, films)
            wait_until(lambda: bool(told.attempts()), what="a batch", seconds=WAIT_SECONDS)
            began = time.monotonic()
            row.mark("exit_status", hung.process.wait(WAIT_SECONDS), exactly=EXIT_HUNG)
            row.mark("seconds_to_exit", round(time.monotonic() - began, 1), at_most=EXITS_WITHIN_SECONDS)
        with parts.worker(name="successor", **IMPATIENT):
            wait_quiet(parts.server, seconds=WAIT_SECONDS)
        with parts.server.client() as client, http_client(gateway.url) as http:
            row.mark("other_than_undisturbed", len(wrong_ends(client, films)), exactly=0)
            mark_safe(row, client, [film.film_id for film in films], http=http)


def _send(gateway: GatewayProcess, films: Sequence[ToldApartFilm]) -> None:
    sent = send_all(gateway.url, [film.payload for film in films], seconds=WAIT_SECONDS)
    assert all(one.record is not None for one in sent)


def _metric(worker: WorkerProcess, name: str) -> float:
    _, text = worker.get("/metrics")
    (value,) = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(value)


def _in_flight(worker: WorkerProcess) -> float:
    return _metric(worker, "cxr_worker_in_flight_films")


def _wait_beats(worker: WorkerProcess, beats: int) -> None:
    """Wait until a worker has kept its films alive so many times more."""
    seen: set[float] = set()

    def has_beaten() -> bool:
        seen.add(_metric(worker, "cxr_worker_heartbeat_timestamp_seconds"))
        return len(seen) > beats

    wait_until(has_beaten, what="heartbeats", seconds=WAIT_SECONDS)


def _has_logged(worker: WorkerProcess, action: str) -> bool:
    return any(event.get("action") == action for event in worker.events())


def _owner(parts: Parts, film: ToldApartFilm) -> str:
    """Return which consumer holds a film."""
    with parts.server.client() as client:
        mid, priority = client.hmget(keys.instance(film.film_id), "mid", "priority")
        (entry,) = client.xpending_range(keys.queue(Priority(priority)), keys.GROUP, min=mid, max=mid, count=1)
        return str(entry["consumer"])


def _open_films(parts: Parts) -> int:
    with parts.server.client() as client:
        return int(client.zcard(keys.OPEN))


def _hashes(parts: Parts, films: Sequence[ToldApartFilm]) -> list[dict[str, str]]:
    with parts.server.client() as client:
        return [client.hgetall(keys.instance(film.film_id)) for film in films]


def _differences(before: Sequence[dict[str, str]], after: Sequence[dict[str, str]]) -> int:
    return sum(earlier != later for earlier, later in zip(before, after, strict=True))
