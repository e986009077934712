"""R12: several gateways are one service; the same film that arrives at all of them at once is one film."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from services.jobs import keys
from services.jobs.records import Priority
from tests.bar.conftest import MeasureRow
from tests.support.gateway import GatewayProcess
from tests.support.parts import Parts, mark_end, wait_done
from tests.support.senders import Sent, http_client, numbered_films, send

REPLICAS: Final = 3
CALLERS: Final = 40
FILMS: Final = 5
SECONDS: Final = 60.0


@pytest.mark.row
def test_same_film_at_three_gateways_at_once_is_one_job_with_one_result(parts: Parts, measure_row: MeasureRow) -> None:
    server = parts.server
    with measure_row("R12", f"{REPLICAS} gateways, {CALLERS} callers with the same film") as row, ExitStack() as stack:
        gateways = [stack.enter_context(parts.gateway(is_awaited=False)) for _ in range(REPLICAS)]
        for gateway in gateways:
            gateway.wait_ready()
        sent = [one for film in numbered_films(FILMS) for one in send_at_once(gateways, film)]
        film_ids = {one.film_id for one in sent}
        row.mark("answers_without_a_record", sum(one.record is None for one in sent), exactly=0)
        row.note("refused_before_they_were_accepted", sum(bool(one.refusals) for one in sent))
        row.mark("ids", len(film_ids), exactly=FILMS)
        with server.client() as client:
            row.mark("entries", int(client.xlen(keys.queue(Priority.ROUTINE))), exactly=FILMS)
        row.mark("payloads_kept", len(payloads(parts.directory / "spool")), exactly=FILMS)
        with parts.worker():
            wait_done(gateways[0].url, sent, seconds=SECONDS)
        row.mark("records_that_differ_by_replica", differing(gateways, film_ids), exactly=0)
        mark_end(row, server, gateways[-1].url, sent, scored=FILMS)


def send_at_once(gateways: list[GatewayProcess], film: bytes) -> list[Sent]:
    """Send one film from many threads, all of which start together, each to the next gateway."""
    together = threading.Barrier(CALLERS)

    def call(number: int) -> Sent:
        with http_client(gateways[number % len(gateways)].url) as client:
            together.wait()
            return send(client, film, seconds=SECONDS)

    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(call, range(CALLERS)))


def payloads(spool: Path) -> list[Path]:
    return [path for path in spool.rglob("*") if path.is_file() and not path.suffix.startswith(".json")]


def differing(gateways: list[GatewayProcess], film_ids: set[str]) -> int:
    """Return how many films do not have the same record at every gateway."""

    def records_at(gateway: GatewayProcess) -> dict[str, Any]:
        with http_client(gateway.url) as client:
            return {film_id: client.get(f"/v1/instances/{film_id}").json() for film_id in film_ids}

    first, *others = [records_at(gateway) for gateway in gateways]
    return sum(any(other[film_id] != first[film_id] for other in others) for film_id in film_ids)
