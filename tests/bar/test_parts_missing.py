"""A part of the installation is not there: Redis at start, Redis for a while, every worker."""

from __future__ import annotations

import time
from typing import Any, Final

import pytest

from tests.bar.conftest import MeasureRow
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.parts import Parts, mark_end, records, wait_done, wait_quiet
from tests.support.senders import disorderly, http_client, numbered_films, send_all
from tests.support.worker_process import WorkerProcess

FILMS: Final = 30
OUTAGE_SECONDS: Final = 15.0
DEADLINE_SECONDS: Final = 3.0
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
        wait_until(lambda: _status(gateway, "/health/live") == 200, what="a live gateway")
        row.mark("ready_without_redis", _status(gateway, "/health/ready") == 200, exactly=False)
        refused = send_all(gateway.url, numbered_films(FILMS), seconds=0.0)
        row.mark("accepted_without_redis", sum(one.record is not None for one in refused), exactly=0)
        row.mark("disorderly_refusals", len(disorderly(refused)), exactly=0)
        wait_until(lambda: _has_asked_in_vain(worker), what="a worker that has missed Redis")
        server.start()
        started = time.monotonic()
        sent = send_all(gateway.url, numbered_films(FILMS), seconds=SECONDS)
        wait_done(gateway.url, sent, seconds=SECONDS)
        row.mark("recovery_seconds", round(time.monotonic() - started, 1), at_most=RECOVERY_SECONDS)
        row.mark("processes_that_ended", (not gateway.is_running) + (worker.process.poll() is not None), exactly=0)
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
        server.start()
        started = time.monotonic()
        sent += send_all(gateway.url, films[FILMS:], seconds=SECONDS)
        wait_done(gateway.url, sent, seconds=SECONDS)
        row.mark("recovery_seconds", round(time.monotonic() - started, 1), at_most=RECOVERY_SECONDS)
        wait_quiet(server, seconds=SECONDS)
        row.mark("processes_that_ended", (not gateway.is_running) + (worker.process.poll() is not None), exactly=0)
        mark_end(row, server, gateway.url, sent, scored=len(films))


@pytest.mark.row
def test_without_any_worker_films_end_at_their_deadline(parts: Parts, measure_row: MeasureRow) -> None:
    hasty: dict[str, Any] = {"queue_deadline_routine_seconds": DEADLINE_SECONDS, "api_upkeep_seconds": 1}
    with measure_row("X4", "no worker at all") as row, parts.gateway(**hasty) as gateway:
        row.note("scaled", f"a deadline of {DEADLINE_SECONDS:g} s and upkeep each second, not 4 h and a minute")
        sent = send_all(gateway.url, numbered_films(FILMS), seconds=SECONDS)
        waited = wait_done(gateway.url, sent, seconds=SECONDS)
        row.mark("seconds_until_all_have_ended", round(waited, 1), at_most=RECOVERY_SECONDS)
        reasons = {record["reason"] for record in records(gateway.url, (one.film_id for one in sent)).values()}
        row.mark("other_reasons_than_deadline", len(reasons - {"deadline"}), exactly=0)
        mark_end(row, parts.server, gateway.url, sent, scored=0)


def _status(gateway: GatewayProcess, path: str) -> int:
    with http_client(gateway.url) as client:
        return client.get(path).status_code


def _has_asked_in_vain(worker: WorkerProcess) -> bool:
    has_ended = worker.process.poll() is not None
    return has_ended or any(event.get("action") == "queue_unavailable" for event in worker.events())
