"""R7 and its kin: Redis comes back without its last writes, or without anything."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import pytest

from services.jobs import keys
from tests.bar.conftest import MeasureRow
from tests.support.bar import Row
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.parts import Parts, mark_end, records, wait_done, wait_quiet
from tests.support.power_loss import chop_tail
from tests.support.redis_server import EVERY_REDIS, RedisServer
from tests.support.senders import Sent, numbered_films, send_all

DONE: Final = 100
# Few, so that what is chopped reaches well into the results before them.
OPEN: Final = 20
CHOPPED: Final = 0.4
RECOVERY_SECONDS: Final = 30.0
SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Before:
    """What a row's films were before Redis forgot."""

    done: list[Sent]
    open: list[Sent]
    decided: dict[str, dict[str, Any]]

    @property
    def everything(self) -> list[Sent]:
        return [*self.done, *self.open]


@pytest.mark.row
@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_power_cut_of_everything_loses_no_film(parts: Parts, measure_row: MeasureRow) -> None:
    server = parts.server
    with measure_row("R7", "power loss of the whole machine") as row, ExitStack() as running:
        row.redis = server.version()
        with parts.gateway() as gateway:
            with parts.worker():
                done = _done_and_in_the_ledger(gateway, server)
            before = _with_open_films(gateway, done)
            gateway.kill()
        _cut_power(row, server, before)
        gateway = running.enter_context(parts.gateway())
        running.enter_context(parts.worker(is_awaited=False))
        _mark_recovery(row, gateway, server, before)


@pytest.mark.row
def test_power_cut_of_redis_alone_is_noticed_and_healed(parts: Parts, measure_row: MeasureRow) -> None:
    server = parts.server
    directions = parts.directions()
    with (
        measure_row("R7", "power loss of Redis under running processes") as row,
        parts.gateway() as gateway,
        parts.worker(directed_by=directions),
    ):
        done = _done_and_in_the_ledger(gateway, server)
        directions.hold()
        before = _with_open_films(gateway, done)
        _cut_power(row, server, before)
        directions.go_on()
        gateway.wait_ready()
        _mark_recovery(row, gateway, server, before, is_work_going_on=True)


@pytest.mark.row
def test_emptied_redis_gets_results_from_the_ledger_and_open_films_from_the_spool(
    parts: Parts, measure_row: MeasureRow
) -> None:
    server = parts.server
    directions = parts.directions()
    with (
        measure_row("X1", "FLUSHALL under a running stack") as row,
        parts.gateway() as gateway,
        parts.worker(directed_by=directions),
    ):
        done = _done_and_in_the_ledger(gateway, server)
        directions.hold()
        before = _with_open_films(gateway, done)
        with server.client() as client:
            client.flushall()
        directions.go_on()
        _mark_recovery(row, gateway, server, before)


def _done_and_in_the_ledger(gateway: GatewayProcess, server: RedisServer) -> list[Sent]:
    done = send_all(gateway.url, numbered_films(DONE), seconds=SECONDS)
    wait_done(gateway.url, done, seconds=SECONDS)
    with server.client() as client:
        wait_until(lambda: not client.zcard(keys.LEDGER_DUE), seconds=SECONDS, what="every result in the ledger")
    return done


def _with_open_films(gateway: GatewayProcess, done: list[Sent]) -> Before:
    decided = records(gateway.url, (one.film_id for one in done))
    waiting = send_all(gateway.url, numbered_films(OPEN, start=DONE), seconds=SECONDS)
    return Before(done=done, open=waiting, decided=decided)


def _cut_power(row: Row, server: RedisServer, before: Before) -> None:
    """Kill Redis, take its tail away, start it, and note what it has forgotten."""
    server.kill()
    row.note("bytes_chopped", chop_tail(server.directory, CHOPPED))
    server.start()
    row.mark("forgotten_results", _forgotten(server, before.done, wanted=("done",)), at_least=1)
    row.mark("forgotten_open_films", _forgotten(server, before.open, wanted=("queued", "running")), at_least=1)


def _mark_recovery(
    row: Row, gateway: GatewayProcess, server: RedisServer, before: Before, *, is_work_going_on: bool = False
) -> None:
    """Wait until every film is done, and mark how long that took and whether decisions are what they were.

    Workers that go on may score a film again before anybody sees that Redis has forgotten its outcome (its record it
    may still know): the same decision then, at another time.
    """
    started = time.monotonic()
    wait_done(gateway.url, before.everything, seconds=SECONDS)
    row.mark("recovery_seconds", round(time.monotonic() - started, 1), at_most=RECOVERY_SECONDS)
    wait_quiet(server, seconds=SECONDS)
    now = records(gateway.url, before.decided)
    differing = {
        field: sum(now.get(film_id, {}).get(field) != record[field] for film_id, record in before.decided.items())
        for field in ("outcome", "probability", "model", "done_at")
    }
    scored_twice = differing.pop("done_at")
    row.mark("decisions_that_changed", sum(differing.values()), exactly=0)
    if is_work_going_on:
        row.note("scored_twice", scored_twice)
    else:
        row.mark("scored_twice", scored_twice, exactly=0)
    mark_end(row, server, gateway.url, before.everything, scored=len(before.everything))


def _forgotten(server: RedisServer, sent: Iterable[Sent], *, wanted: tuple[str, ...]) -> int:
    """Return how many of these films are in none of the states that they were in."""
    with server.client() as client:
        return sum(client.hget(keys.instance(one.film_id), "state") not in wanted for one in sent)
