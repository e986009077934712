"""R6: Redis does what it is asked, but its answer does not arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.bar.conftest import MeasureRow
from tests.support.bundles import write_tiny_bundle
from tests.support.lossy_proxy import lossy_proxy_thread
from tests.support.parts import Parts, backlog, mark_end, wait_done, wait_quiet
from tests.support.redis_server import RedisServer
from tests.support.senders import Sent, disorderly, numbered_films, send_all

NTH: Final = 3
WAITING_FILMS: Final = 100
WORKED_FILMS: Final = 400
CLIENTS: Final = 4
SECONDS: Final = 60.0


@pytest.mark.row
def test_films_whose_replies_are_lost_are_one_entry_each(
    mortal_redis_server: RedisServer, tmp_path: Path, measure_row: MeasureRow
) -> None:
    server = mortal_redis_server
    bundle = write_tiny_bundle(tmp_path / "tiny")
    with (
        measure_row("R6", "every third reply of Redis is lost, and its connection") as row,
        lossy_proxy_thread(server.socket, tmp_path / "proxy.sock") as proxy,
    ):
        parts = Parts(directory=tmp_path, server=server, bundle=bundle, redis_url=proxy.url)
        row.note("scaled", f"for {WAITING_FILMS + WORKED_FILMS} films, not for 60 s")
        films = numbered_films(WAITING_FILMS + WORKED_FILMS)
        waiting, worked = films[:WAITING_FILMS], films[WAITING_FILMS:]
        with parts.gateway() as gateway:
            proxy.lose_every(NTH)
            # Each film twice, as two clients of a PACS do; nobody works yet, so that entries can be counted.
            sent = send_all(gateway.url, [film for film in waiting for _ in range(2)], clients=CLIENTS, seconds=SECONDS)
            row.mark("entries_per_film", backlog(server) / WAITING_FILMS, exactly=1)
            with parts.worker(is_awaited=False):
                sent += send_all(gateway.url, worked, clients=CLIENTS, seconds=SECONDS)
                row.note("seconds_to_drain", round(wait_done(gateway.url, sent, seconds=SECONDS), 1))
                proxy.lose_every(0)
                wait_quiet(server, seconds=SECONDS)
            mark_end(row, server, gateway.url, sent, scored=len(films))
        row.note("replies_lost", proxy.lost)
        row.mark("not_accepted", sum(one.record is None for one in sent), exactly=0)
        row.mark("films_with_two_ids", _with_two_ids(sent), exactly=0)
        row.mark("disorderly_refusals", len(disorderly(sent)), exactly=0)
        row.note("refusals", sum(len(one.refusals) for one in sent))


def _with_two_ids(sent: list[Sent]) -> int:
    told: dict[bytes, set[str]] = {}
    for one in sent:
        told.setdefault(one.payload, set()).add(one.film_id)
    return sum(len(film_ids) > 1 for film_ids in told.values())
