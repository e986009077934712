"""A delivery process and what it delivers: films that are decided as a worker decides them, targets as TOML."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

from model.decoding.header import ImageFormat
from services.jobs import keys
from services.jobs.queue import JobQueue
from services.jobs.records import Job
from services.jobs.spool import Spool
from tests.support.films import dicom_film, uid_of
from tests.support.gateway import ListeningProcess, environment
from tests.support.jobs import SCORED_BY, TIMINGS, scored
from tests.support.redis_server import RedisServer
from tests.support.submission import submit_film

SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()
# So that a test does not wait as long as a hospital may.
_IMPATIENT: Final = {
    "delivery_first_wait_seconds": 0.05,
    "delivery_longest_wait_seconds": 0.2,
    "delivery_probe_seconds": 0.2,
    "delivery_idle_seconds": 0.05,
    "delivery_metrics_port": 0,
}


class DeliveryProcess(ListeningProcess):
    """``python -m services.delivery``, with its spool and audit trail in ``directory``."""

    def __init__(self, directory: Path, server: RedisServer, *targets: str, **settings: object) -> None:
        file = directory / "targets.toml"
        file.write_text("\n".join(targets))
        (directory / "secret").write_text(SECRET)
        places = {
            "redis_url": server.url,
            "spool_directory": directory / "spool",
            "audit_directory": directory / "audit",
            "delivery_targets_file": file,
        }
        told = environment(**(places | _IMPATIENT | settings))
        super().__init__("services.delivery", directory / "delivery.log", told, started="delivery_started")

    def wait_started(self) -> None:
        """Return when its targets are announced: what is decided from now on is theirs."""
        self.ports()


def hook(port: int, directory: Path, *, name: str = "hook") -> str:
    """Return a webhook target; its secret is the one in the directory of the delivery."""
    return f"""
        [[target]]
        name = "{name}"
        kind = "webhook"
        address = "http://127.0.0.1:{port}/hook"
        secret = {{ file = "{directory / "secret"}" }}
    """


def stow(port: int) -> str:
    """Return a STOW-RS target, named ``web``."""
    return f'[[target]]\nname = "web"\nkind = "stow"\naddress = "http://127.0.0.1:{port}/dicom-web"\n'


def cstore(port: int) -> str:
    """Return a C-STORE target, named ``node``."""
    return f"""
        [[target]]
        name = "node"
        kind = "cstore"
        address = "127.0.0.1:{port}"
        called_ae_title = "ARCHIVE"
    """


async def decide(queue: JobQueue, spool: Spool, number: int, *, flagged: bool = True) -> Job:
    """Have film ``number`` decided, as a worker does."""
    film = dicom_film(seed=number, SOPInstanceUID=uid_of("delivery", number), rows=64, columns=64)
    job = await submit_film(queue, spool, film, image_format=ImageFormat.DICOM)
    (taken,) = await queue.take("a", count=1, block_ms=0)
    assert await queue.finish(taken, scored(flagged=flagged), model=SCORED_BY, timings=TIMINGS)
    return job


def owed(server: RedisServer, target: str) -> tuple[int, int]:
    """Return how many results a target has not got, and how many were given up."""
    with server.client() as client:
        due, dead = (client.zcard(keys.delivery(part, target)) for part in ("due", "dead"))
    return int(str(due)), int(str(dead))
