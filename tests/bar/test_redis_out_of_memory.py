"""R9: Redis has no memory left and evicts nothing."""

from __future__ import annotations

from typing import Any, Final

import pytest

from services.jobs import keys
from services.jobs.records import Priority
from tests.bar.conftest import MeasureRow
from tests.support.gateway import wait_until
from tests.support.parts import Parts, count_scored, mark_end, wait_done, wait_quiet
from tests.support.redis_server import EVERY_REDIS, RedisServer
from tests.support.senders import Sent, disorderly, numbered_films, send_all

QUEUED: Final = 50
IN_FLIGHT: Final = 8
REFUSED: Final = 10
SECONDS: Final = 60.0
# Two children decode, one batch of three runs and one waits: eight films, however many cores there are.
HOLDS_EIGHT: Final[dict[str, Any]] = {"worker_cores": 1, "worker_decoders": 2, "worker_max_batch": 3}


@pytest.mark.row
@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_full_redis_refuses_what_is_new_and_finishes_what_it_has(parts: Parts, measure_row: MeasureRow) -> None:
    server = parts.server
    directions = parts.directions()
    directions.hold()
    films = numbered_films(QUEUED + IN_FLIGHT + REFUSED)
    with measure_row("R9", "Redis out of memory") as row, parts.gateway() as gateway:
        row.redis = server.version()
        with parts.worker(directed_by=directions, **HOLDS_EIGHT):
            sent = send_all(gateway.url, films[:-REFUSED], seconds=SECONDS)
            wait_until(lambda: _held(server) == IN_FLIGHT, seconds=SECONDS, what="eight films in flight")
            row.note("queued", _entries(server) - _held(server))
            before = _names(server)
            _set_memory(server, "1mb")
            refused = send_all(gateway.url, films[-REFUSED:], seconds=0.0)
            row.mark("accepted_while_full", sum(one.record is not None for one in refused), exactly=0)
            row.mark("refused_with_503", _statuses(refused).count(503), exactly=REFUSED)
            row.mark("disorderly_refusals", len(disorderly(refused)), exactly=0)
            row.mark("traces_of_refused", len(_names(server) - before), exactly=0)
            directions.go_on()
            row.note("seconds_to_finish_while_full", round(wait_done(gateway.url, sent, seconds=SECONDS), 1))
            row.mark("finished_while_full", _finished(server, sent), exactly=QUEUED + IN_FLIGHT)
            _set_memory(server, "0")
            sent += send_all(gateway.url, films[-REFUSED:], seconds=SECONDS)
            wait_done(gateway.url, sent, seconds=SECONDS)
            wait_quiet(server, seconds=SECONDS)
        mark_end(row, server, gateway.url, sent, scored=len(films))


def _set_memory(server: RedisServer, maximum: str) -> None:
    with server.client() as client:
        client.config_set("maxmemory", maximum)


def _entries(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.xlen(keys.queue(Priority.ROUTINE)))


def _held(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.xpending(keys.queue(Priority.ROUTINE), keys.GROUP)["pending"])


def _names(server: RedisServer) -> set[str]:
    """Return every key of a film; of the rest, workers may write while they wait."""
    with server.client() as client:
        return set(client.keys(f"{keys.TAG}:s:*"))


def _statuses(sent: list[Sent]) -> list[int]:
    return [refusal.status for one in sent for refusal in one.refusals]


def _finished(server: RedisServer, sent: list[Sent]) -> int:
    with server.client() as client:
        return count_scored(client, [one.film_id for one in sent])
