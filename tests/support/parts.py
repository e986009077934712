"""Gateway, worker and Redis as separate processes in one directory: what a row starts, ends and looks into."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis

from services.jobs import keys
from services.jobs.records import Priority
from tests.support.bar import Row
from tests.support.directed_worker import DIRECTORY_VARIABLE, Directions
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.invariant import mark_safe
from tests.support.redis_server import RedisServer
from tests.support.senders import Sent, accepted, http_client
from tests.support.worker_process import WorkerProcess

_PAGE: Final = 200
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Where the parts of one small installation are. ``redis_url`` may lead through a proxy; ``spool`` and ``audit``
    may lie on other disks."""

    directory: Path
    server: RedisServer
    bundle: Path
    redis_url: str | None = None
    spool: Path | None = None
    audit: Path | None = None

    @property
    def places(self) -> dict[str, object]:
        """Settings that gateway and worker share."""
        return {
            "redis_url": self.redis_url or self.server.url,
            "spool_directory": self.spool or self.directory / "spool",
            "audit_directory": self.audit or self.directory / "audit",
            "spool_minimum_free_ratio": 0.0,
        }

    def directions(self, name: str = "told") -> Directions:
        """Return directions for a worker of this installation; of several each needs a ``name``."""
        (told := self.directory / name).mkdir()
        return Directions(told)

    def worker_environment(self, **settings: object) -> dict[str, object]:
        """Return what a worker of this installation finds in its environment; ``settings`` go before the usual ones."""
        ours = {
            "worker_bundle": self.bundle,
            "worker_bundle_store": self.directory / "bundles",
            "worker_metrics_port": 0,
            "worker_decoders": 2,
            "worker_threads": 1,
        }
        return {f"CXR_{name.upper()}": value for name, value in (self.places | ours | settings).items()}

    @contextmanager
    def gateway(self, *, is_awaited: bool = True, **settings: object) -> Iterator[GatewayProcess]:
        """Run a gateway for the block."""
        places = self.places
        url = str(places.pop("redis_url"))
        with GatewayProcess(self.directory, redis_url=url, **(places | settings)) as gateway:
            if is_awaited:
                gateway.wait_ready()
            yield gateway

    @contextmanager
    def worker(
        self, *, name: str = "", directed_by: Directions | None = None, is_awaited: bool = True, **settings: object
    ) -> Iterator[WorkerProcess]:
        """Run a worker for the block; killed at its end if it still runs. Of several each needs a ``name`` for its log.

        With ``directed_by`` its scorer does as these directions say (``directed_worker``).
        """
        chosen = self.worker_environment(**settings)
        module = "services.worker"
        if directed_by is not None:
            module, chosen[DIRECTORY_VARIABLE] = "tests.support.directed_worker", directed_by.directory
        logs = self.directory / name
        logs.mkdir(exist_ok=True)
        worker = WorkerProcess(logs, module=module, **chosen)
        try:
            worker.start(wait=is_awaited)
            yield worker
        finally:
            worker.kill()


def wait_done(url: str, sent: Iterable[Sent], *, seconds: float) -> float:
    """Wait until every accepted film has its outcome, as its sender sees it; return how long that took.

    Returns also when time is up: the row's end then says how many are lost.
    """
    started = time.monotonic()
    waiting = {one.film_id for one in accepted(sent)}
    with http_client(url) as client:
        while waiting and time.monotonic() - started < seconds:
            for film_id in sorted(waiting)[:_PAGE]:
                answer = client.get(f"/v1/instances/{film_id}")
                if answer.is_success and answer.json()["state"] == "done":
                    waiting.discard(film_id)
            if waiting:
                time.sleep(_POLL_SECONDS)
    return time.monotonic() - started


def mark_end(row: Row, server: RedisServer, url: str, sent: Iterable[Sent], *, scored: int) -> None:
    """Mark what a row ends with: the safety invariant, and that so many films were scored."""
    film_ids = sorted({one.film_id for one in accepted(sent)})
    with server.client() as client, http_client(url) as http:
        mark_safe(row, client, film_ids, http=http)
        row.mark("scored", count_scored(client, film_ids), exactly=scored)


def count_scored(client: redis.Redis, film_ids: Iterable[str]) -> int:
    """Return how many of these films are flagged or not flagged."""
    pipe = client.pipeline(transaction=False)
    for film_id in film_ids:
        pipe.hget(keys.instance(film_id), "outcome")
    return sum(outcome in ("flagged", "not_flagged") for outcome in pipe.execute())


def backlog(server: RedisServer) -> int:
    """Return how many films wait or are held."""
    with server.client() as client:
        return sum(int(client.xlen(keys.queue(lane))) for lane in Priority)


def wait_quiet(server: RedisServer, *, seconds: float) -> None:
    """Wait until no stream, retry or open film is left."""

    def is_quiet() -> bool:
        with server.client() as client:
            return backlog(server) == int(client.zcard(keys.OPEN)) == int(client.zcard(keys.RETRY)) == 0

    wait_until(is_quiet, seconds=seconds, what="an empty queue")


def records(url: str, film_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the records of films as the gateway gives them; a film that it does not know is missing."""
    with http_client(url) as client:
        answers = {film_id: client.get(f"/v1/instances/{film_id}") for film_id in film_ids}
    return {film_id: answer.json() for film_id, answer in answers.items() if answer.is_success}
