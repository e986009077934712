"""W1: films that are taken back while workers, Redis and a gateway are killed.

By order, by a rejection note that comes after its film, and by one that comes before it. Who was told that a film is
withdrawn finds it so, whoever held it; its study does not count it; and every other film is scored.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import httpx
import pytest
import redis

from services.jobs import keys
from services.jobs.records import instance_id
from tests.bar.conftest import MeasureRow
from tests.support.films import dicom_film
from tests.support.invariant import mark_safe
from tests.support.key_objects import key_object
from tests.support.kill_rig import KillRig, torment, wait_all_done
from tests.support.ledger_marks import mark_ledger
from tests.support.parts import Parts
from tests.support.senders import http_client
from tests.support.stow import stow

FILMS: Final = 400
SENDERS: Final = 4
# So that faults meet films at every stage, not only a backlog.
FILMS_PER_SECOND: Final = 25.0
REDIS_KILLS: Final = 4
GATEWAY_KILLS: Final = 3
SCORED_A_WORKER_KILL: Final = 16
# What is done with a film; each study has one of each.
WAYS: Final = ("kept", "ordered", "noted after", "noted before", "kept")
_PAUSE_SECONDS: Final = 0.2
_WAIT_SECONDS: Final = 120.0

Step = Callable[[httpx.Client], httpx.Response]


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A film, and what its sender does with it."""

    film_id: str
    steps: tuple[Step, ...]
    is_kept: bool


def sending(number: int, way: str) -> Sending:
    study_uid, uid = f"1.2.{1 + number // len(WAYS)}", f"1.2.3.{1 + number}"
    film = dicom_film(seed=number, rows=96, columns=96, StudyInstanceUID=study_uid, SOPInstanceUID=uid)
    sha256 = hashlib.sha256(film).hexdigest()
    film_id = instance_id(site="default", sop_instance_uid=uid, sha256=sha256)

    def store(client: httpx.Client) -> httpx.Response:
        return stow(client, film)

    def order(client: httpx.Client) -> httpx.Response:
        return client.delete(f"/v1/instances/{film_id}")

    def note(client: httpx.Client) -> httpx.Response:
        return stow(client, key_object({study_uid: [uid]}))

    steps: dict[str, tuple[Step, ...]] = {
        "kept": (store,),
        "ordered": (store, order),
        "noted after": (store, note),
        "noted before": (note, store),
    }
    return Sending(film_id=film_id, steps=steps[way], is_kept=way == "kept")


class PatientSender:
    """Does each step of each sending until it is acknowledged, as a PACS does."""

    def __init__(self, url: str, sendings: Sequence[Sending]) -> None:
        self._client = http_client(url)
        self._sendings = sendings
        self._is_over = threading.Event()
        self._threads = ThreadPoolExecutor(SENDERS)
        self._began = time.monotonic()
        self._ends = [self._threads.submit(self._send, number) for number in range(len(sendings))]

    @property
    def acknowledged(self) -> int:
        """How many sendings are through."""
        return sum(end.done() and end.result() for end in self._ends)

    @property
    def is_done(self) -> bool:
        """Whether all are."""
        return self.acknowledged == len(self._sendings)

    def close(self) -> None:
        self._is_over.set()
        self._threads.shutdown()
        self._client.close()

    def _send(self, number: int) -> bool:
        self._is_over.wait(max(self._began + number / FILMS_PER_SECOND - time.monotonic(), 0))
        return all(self._until_acknowledged(step) for step in self._sendings[number].steps)

    def _until_acknowledged(self, step: Step) -> bool:
        while not self._is_over.is_set():
            with suppress(httpx.TransportError):
                if step(self._client).status_code == httpx.codes.OK:
                    return True
            self._is_over.wait(_PAUSE_SECONDS)
        return False


def ends_of(client: redis.Redis, sendings: Sequence[Sending], *, is_kept: bool) -> Counter[str]:
    """Return the outcomes of films, or the reasons of those without a score."""
    ends: Counter[str] = Counter()
    for one in sendings:
        if one.is_kept == is_kept:
            outcome, result = client.hmget(keys.instance(one.film_id), "outcome", "result")
            ends["withdrawn" if '"reason":"withdrawn"' in (result or "") else str(outcome)] += 1
    return ends


def scored_of(parts: Parts, sendings: Sequence[Sending]) -> int:
    """Return how many films that are kept have their score."""
    with parts.server.client() as client:
        ends = ends_of(client, sendings, is_kept=True)
    return ends["flagged"] + ends["not_flagged"]


def counted_in_studies(client: redis.Redis) -> set[str]:
    """Return the films that studies count."""
    studies = client.scan_iter(match=keys.study_members("default", "*"), count=1000)
    return {str(film_id) for study in studies for film_id in client.zrange(study, 0, -1)}


@pytest.mark.row
def test_films_that_are_taken_back_stay_so_through_a_kill_loop(parts: Parts, measure_row: MeasureRow) -> None:
    sendings = [sending(number, way) for number, way in enumerate(islice(cycle(WAYS), FILMS))]
    kept = {one.film_id for one in sendings if one.is_kept}
    rig = KillRig(parts)
    with measure_row("W1", "films taken back in a kill loop") as row, rig.running():
        sender = PatientSender(rig.urls[0], sendings)
        try:
            faults = torment(
                rig,
                until=lambda: sender.is_done,
                decided=lambda: scored_of(parts, sendings),
                redis_kills=REDIS_KILLS,
                gateway_kills=GATEWAY_KILLS,
                films_a_worker_kill=SCORED_A_WORKER_KILL,
            )
            wait_all_done(rig, seconds=_WAIT_SECONDS)
            row.mark("acknowledged", sender.acknowledged, exactly=FILMS)
        finally:
            sender.close()
        row.note("worker_kills", faults.worker_kills)
        row.mark("redis_kills", faults.redis_kills, exactly=REDIS_KILLS)
        row.mark("gateway_kills", faults.gateway_kills, exactly=GATEWAY_KILLS)
        with parts.server.client() as client, http_client(rig.urls[0]) as http:
            row.mark("withdrawn", ends_of(client, sendings, is_kept=False)["withdrawn"], exactly=FILMS - len(kept))
            row.mark("scored", scored_of(parts, sendings), exactly=len(kept))
            row.mark("counted_otherwise", len(counted_in_studies(client) ^ kept), exactly=0)
            film_ids = [one.film_id for one in sendings]
            mark_safe(row, client, film_ids, http=http)
            mark_ledger(row, client, Path(str(parts.places["audit_directory"])), film_ids, seconds=30.0)
