"""R10: clocks are wrong, by hours, and jump; no film is lost, none is written twice, none recovers late.

Shown to fail (by hand): without ``clock.lua`` the films of a dead worker wait for as long as Redis' clock went back;
with records kept for a day they are too short-lived, though the ledger brings back those that were gone at +25 h.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from services.jobs import keys
from services.jobs.records import Priority
from tests.bar.conftest import MeasureRow
from tests.bar.kill_loop import wrong_ends
from tests.support.bar import Row
from tests.support.bundles import write_tiny_bundle
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.invariant import mark_safe
from tests.support.kill_rig import IMPATIENT
from tests.support.parts import Parts, wait_quiet
from tests.support.redis_server import RedisServer
from tests.support.senders import http_client, send_all
from tests.support.told_apart_films import ToldApartFilm, told_apart_films
from tests.support.wrong_clock import WrongClock, build_clock_shim

FILMS: Final = 120
AT_EACH_STEP: Final = 30
MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
RESULTS_LIVE_DAYS: Final = 7.0
HOSTS_ARE_WRONG_BY: Final = 10 * MINUTE
# Longer than the row, so that only a healed wait ends in time.
RETRY_SECONDS: Final = 60.0
RECOVERS_WITHIN_SECONDS: Final = 15.0
WAIT_SECONDS: Final = 60.0


@pytest.mark.row
def test_wrong_clocks_lose_nothing_and_delay_nothing(
    redis_binary: Path, tmp_path: Path, measure_row: MeasureRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = build_clock_shim(tmp_path)
    clocks = {name: WrongClock(shim, tmp_path / f"{name}.offset") for name in ("redis", "gateway", "worker")}
    (directory := tmp_path / "redis").mkdir()
    server = RedisServer(clocks["redis"].program(redis_binary, tmp_path / "redis-by-clock"), directory)
    server.start()
    parts = Parts(directory=tmp_path, server=server, bundle=write_tiny_bundle(tmp_path / "tiny"))
    films = told_apart_films(FILMS, parts.bundle)
    steps = [films[at : at + AT_EACH_STEP] for at in range(0, FILMS, AT_EACH_STEP)]
    clocks["gateway"].shift(HOSTS_ARE_WRONG_BY)
    clocks["worker"].shift(-HOSTS_ARE_WRONG_BY)
    try:
        with measure_row("R10", "clocks of Redis, gateway and worker are wrong and jump") as row:
            _go_by(clocks["gateway"], monkeypatch)
            with parts.gateway() as gateway:
                _go_by(clocks["worker"], monkeypatch)
                _hosts_disagree(row, parts, gateway, clocks["gateway"], clocks["worker"], steps[0])
                _redis_goes_forward(row, parts, gateway, clocks["redis"], steps[1], hours=1)
                _redis_goes_forward(row, parts, gateway, clocks["redis"], steps[2], hours=25)
                _redis_goes_back(row, parts, gateway, clocks["redis"], steps[3], hours=2)
                _mark_end(row, parts, gateway, films)
    finally:
        server.stop()


def _go_by(clock: WrongClock, environment: pytest.MonkeyPatch) -> None:
    """Let every process that starts from now on go by this clock; Redis has its own."""
    for name, value in clock.environment.items():
        environment.setenv(name, value)


def _hosts_disagree(
    row: Row,
    parts: Parts,
    gateway: GatewayProcess,
    at_gateway: WrongClock,
    at_worker: WrongClock,
    films: Sequence[ToldApartFilm],
) -> None:
    """Score while gateway and worker are wrong by ten minutes each way, and while each is set right by twice that."""
    half = len(films) // 2
    with parts.worker(name="disagreeing", **IMPATIENT):
        _send(gateway, films[:half])
        wait_quiet(parts.server, seconds=WAIT_SECONDS)
        at_gateway.shift(-2 * HOSTS_ARE_WRONG_BY)
        at_worker.shift(2 * HOSTS_ARE_WRONG_BY)
        _send(gateway, films[half:])
        wait_quiet(parts.server, seconds=WAIT_SECONDS)
    row.note("gateway_and_worker_minutes_apart", 2 * HOSTS_ARE_WRONG_BY / MINUTE)


def _redis_goes_forward(
    row: Row, parts: Parts, gateway: GatewayProcess, clock: WrongClock, films: Sequence[ToldApartFilm], *, hours: float
) -> None:
    """Jump while a worker holds films in mid-batch: another may take them over at once, and both may end them."""
    directions = parts.directions(f"forward-{hours}")
    directions.hold()
    with parts.worker(name=f"held-{hours}", directed_by=directions, **IMPATIENT):
        _send(gateway, films)
        wait_until(lambda: bool(directions.attempts()), what="a batch", seconds=WAIT_SECONDS)
        row.mark(f"in_flight_at_{hours:+}h", _pending(parts), at_least=1)
        clock.shift(hours * HOUR)
        with parts.worker(name=f"free-{hours}", **IMPATIENT):
            directions.go_on()
            wait_quiet(parts.server, seconds=WAIT_SECONDS)


def _redis_goes_back(
    row: Row, parts: Parts, gateway: GatewayProcess, clock: WrongClock, films: Sequence[ToldApartFilm], *, hours: float
) -> None:
    """Jump while a dead worker's films are held, and one waits for another attempt; both would wait for hours."""
    directions = parts.directions("back")
    directions.fail(times=1)
    patient: dict[str, Any] = {"worker_retry_seconds": [RETRY_SECONDS]}
    with parts.worker(name="dying", directed_by=directions, **IMPATIENT, **patient) as dying:
        _send(gateway, films[:1])
        wait_until(lambda: _waiting_for_retry(parts) == 1, what="a film that waits", seconds=WAIT_SECONDS)
        directions.hold()
        _send(gateway, films[1:])
        wait_until(lambda: _pending(parts) > 0, what="films in flight", seconds=WAIT_SECONDS)
        dying.kill()
    row.mark(f"in_flight_at_{-hours:+}h", _pending(parts), at_least=1)
    clock.shift(-hours * HOUR)
    with parts.worker(name="surviving", **IMPATIENT, **patient):
        started = time.monotonic()
        wait_quiet(parts.server, seconds=WAIT_SECONDS)
        row.mark("seconds_to_recover_after_going_back", time.monotonic() - started, at_most=RECOVERS_WITHIN_SECONDS)


def _mark_end(row: Row, parts: Parts, gateway: GatewayProcess, films: Sequence[ToldApartFilm]) -> None:
    with parts.server.client() as client, http_client(gateway.url) as http:
        row.mark("other_than_undisturbed", len(wrong_ends(client, films)), exactly=0)
        answers = [http.get(f"/v1/instances/{film.film_id}") for film in films]
        row.mark("results_expired", sum(answer.status_code == 404 for answer in answers), exactly=0)
        lives = [int(client.ttl(keys.instance(film.film_id))) for film in films]
        row.mark("shortest_life_of_a_result_days", round(min(lives) / DAY, 1), at_least=RESULTS_LIVE_DAYS)
        mark_safe(row, client, [film.film_id for film in films], http=http)


def _send(gateway: GatewayProcess, films: Sequence[ToldApartFilm]) -> None:
    sent = send_all(gateway.url, [film.payload for film in films], seconds=WAIT_SECONDS)
    assert all(one.record is not None for one in sent)


def _pending(parts: Parts) -> int:
    with parts.server.client() as client:
        streams = [keys.queue(lane) for lane in Priority if client.exists(keys.queue(lane))]
        return sum(int(client.xpending(stream, keys.GROUP)["pending"]) for stream in streams)


def _waiting_for_retry(parts: Parts) -> int:
    with parts.server.client() as client:
        return int(client.zcard(keys.RETRY))
