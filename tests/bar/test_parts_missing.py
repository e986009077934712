"""A part of the installation is not there: Redis at start, Redis for a while, every worker.

Shown to fail (by hand): a worker, and a gateway, that ends at its start where Redis is missing (X2), a worker that ends
in an outage, and one that forgets a film whose finish met no Redis (X3), an expire script that ends nothing, and one
that ends everything (X4), a gateway that does not look at deadlines itself (X4b; in X4 comparing hides it).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import httpx
import pytest

from services.jobs import keys
from tests.bar.conftest import MeasureRow
from tests.support.bar import Row
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.parts import Parts, mark_end, records, wait_done, wait_quiet
from tests.support.redis_server import RedisServer
from tests.support.senders import Sent, accepted, disorderly, http_client, numbered_films, send_all
from tests.support.worker_process import WorkerProcess

FILMS: Final = 30
OUTAGE_SECONDS: Final = 15.0
DEADLINE_SECONDS: Final = 3.0
HASTY: Final[Mapping[str, Any]] = {"queue_deadline_routine_seconds": DEADLINE_SECONDS, "api_upkeep_seconds": 1}
# It neither ends what is late itself, nor itself, while the row lasts.
SLUGGISH: Final[Mapping[str, Any]] = {"worker_reconcile_seconds": 600, "worker_batch_deadline_seconds": 600}
RECOVERY_SECONDS: Final = 30.0
SECONDS: Final = 60.0


@pytest.mark.row
def test_parts_that_start_before_redis_wait_for_it(parts: Parts, measure_row: MeasureRow) -> None:
    server = parts.server
    server.stop()
    with (
        measure_row("X2", "no Redis at start") as row,
        parts.gateway(is_awaited=False) as gateway,
        parts.worker(is_awaited=False) as worker,
    ):
        wait_until(lambda: not gateway.is_running or _status(gateway, "/health/live") == 200, what="a live gateway")
        row.mark("ready_without_redis", _status(gateway, "/health/ready") == 200, exactly=False)
        refused = send_all(gateway.url, numbered_films(FILMS), seconds=0.0)
        row.mark("accepted_without_redis", sum(one.record is not None for one in refused), exactly=0)
        row.mark("disorderly_refusals", len(disorderly(refused)), exactly=0)
        wait_until(lambda: _has_asked_in_vain(worker), what="a worker that has missed Redis")
        row.mark("processes_that_ended_without_redis", _ended(gateway, worker), exactly=0)
        if row.missed:
            return  # the rest would fail by what it does not find
        server.start()
        started = time.monotonic()
        sent = send_all(gateway.url, numbered_films(FILMS), seconds=SECONDS)
        wait_done(gateway.url, sent, seconds=SECONDS)
        row.mark("recovery_seconds", round(time.monotonic() - started, 1), at_most=RECOVERY_SECONDS)
        row.mark("processes_that_ended", _ended(gateway, worker), exactly=0)
        mark_end(row, server, gateway.url, sent, scored=FILMS)


@pytest.mark.row
def test_redis_that_is_away_for_a_while_costs_no_film_and_no_process(parts: Parts, measure_row: MeasureRow) -> None:
    server = parts.server
    directions = parts.directions()
    directions.hold()
    with (
        measure_row("X3", "Redis away for a while") as row,
        parts.gateway() as gateway,
        parts.worker(directed_by=directions) as worker,
    ):
        row.note("scaled", f"away for {OUTAGE_SECONDS:g} s, not 60")
        films = numbered_films(2 * FILMS)
        sent = send_all(gateway.url, films[:FILMS], seconds=SECONDS)
        wait_until(lambda: bool(directions.attempts()), what="a batch", seconds=SECONDS)
        server.stop()
        back_at = time.monotonic() + OUTAGE_SECONDS
        # The worker finishes what it holds into an absent Redis, and must not forget it.
        directions.go_on()
        refused = []
        while time.monotonic() < back_at:
            refused += send_all(gateway.url, films[FILMS:], clients=FILMS, seconds=0.0)
        row.note("refusals", len(refused))
        row.mark("accepted_meanwhile", sum(one.record is not None for one in refused), exactly=0)
        row.mark("disorderly_refusals", len(disorderly(refused)), exactly=0)
        row.mark("connections_broken", sum(one.broken for one in refused), exactly=0)
        row.mark("processes_that_ended_without_redis", _ended(gateway, worker), exactly=0)
        if row.missed:
            return  # the rest would fail by what it does not find
        server.start()
        started = time.monotonic()
        sent += send_all(gateway.url, films[FILMS:], seconds=SECONDS)
        wait_done(gateway.url, sent, seconds=SECONDS)
        row.mark("recovery_seconds", round(time.monotonic() - started, 1), at_most=RECOVERY_SECONDS)
        wait_quiet(server, seconds=SECONDS)
        row.mark("films_that_the_worker_forgot", _crashes(server, sent), exactly=0)
        row.mark("processes_that_ended", _ended(gateway, worker), exactly=0)
        mark_end(row, server, gateway.url, sent, scored=len(films))


@pytest.mark.row
def test_without_any_worker_films_end_at_their_deadline(parts: Parts, measure_row: MeasureRow) -> None:
    with measure_row("X4", "no worker at all") as row, parts.gateway(**HASTY) as gateway:
        _mark_deadlines(row, parts, gateway)


@pytest.mark.row
def test_where_the_only_worker_ends_nothing_films_end_at_their_deadline(parts: Parts, measure_row: MeasureRow) -> None:
    """It says that it lives, so the gateway leaves comparing queue and spool to it; deadlines it must not leave."""
    directions = parts.directions()
    directions.hold()
    with (
        measure_row("X4b", "a worker that lives and ends nothing") as row,
        parts.worker(directed_by=directions, **SLUGGISH),
        parts.gateway(**HASTY) as gateway,
    ):
        # Comparing ends what is late, too, and is repeated once after the gateway's start: films come after that.
        wait_until(lambda: gateway.output.count('"action": "reconciled"') > 1, what="the last comparison")
        _mark_deadlines(row, parts, gateway)


def _mark_deadlines(row: Row, parts: Parts, gateway: GatewayProcess) -> None:
    """Send films, and mark that each ends at its deadline: not long after it, and not before."""
    row.note("scaled", f"a deadline of {DEADLINE_SECONDS:g} s and upkeep each second, not 4 h and a minute")
    sent = send_all(gateway.url, numbered_films(FILMS), seconds=SECONDS)
    waited = wait_done(gateway.url, sent, seconds=SECONDS)
    row.mark("seconds_until_all_have_ended", round(waited, 1), at_most=RECOVERY_SECONDS)
    ended = [
        record
        for record in records(gateway.url, (one.film_id for one in sent)).values()
        if record["done_at"] is not None
    ]
    row.mark("other_reasons_than_deadline", sum(record["reason"] != "deadline" for record in ended), exactly=0)
    open_seconds = [_moment(record["done_at"]) - _moment(record["submitted_at"]) for record in ended]
    row.mark("ended_early", sum(seconds < DEADLINE_SECONDS for seconds in open_seconds), exactly=0)
    mark_end(row, parts.server, gateway.url, sent, scored=0)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _status(gateway: GatewayProcess, path: str) -> int:
    """Return what it answers; 0: nothing."""
    with http_client(gateway.url) as client, suppress(httpx.TransportError):
        return client.get(path).status_code
    return 0


def _ended(gateway: GatewayProcess, worker: WorkerProcess) -> int:
    return (not gateway.is_running) + (worker.process.poll() is not None)


def _crashes(server: RedisServer, sent: Iterable[Sent]) -> int:
    """Count how often a film was taken over from somebody who did not speak of it any more."""
    with server.client() as client:
        return sum(int(client.hget(keys.instance(one.film_id), "crashes") or 0) for one in accepted(sent))


def _has_asked_in_vain(worker: WorkerProcess) -> bool:
    has_ended = worker.process.poll() is not None
    return has_ended or any(event.get("action") == "queue_unavailable" for event in worker.events())
