"""What a crowd of pages that poll costs the gateway: processor time of its process, and how often it said 304.

The pages are a process of their own (``pollers``). What the gateway spends while nobody asks is measured first and
taken off.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import psutil

from benchmarks.loads import LoadFailed, small_pngs
from benchmarks.results import ROOT
from services.bench.films import Films
from tests.support.many_studies import WorklistRig

EVERY_SECONDS: Final = 5.0
CLIENTS: Final = 1_000
_NOT_MODIFIED: Final = "304"
_OK: Final = "200"
_PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """Who asks and who sends: a reader's cookie, as ``name=value``, and a sender's key."""

    cookie: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Polled:
    """What a crowd was answered, and what it cost.

    ``gateway`` and ``redis`` are shares of one core, the gateway's without what it spends anyhow (``idle``).
    ``change_seconds`` is how often a film came in, ``None`` where none did.
    """

    clients: int
    seconds: float
    change_seconds: float | None
    answers: Mapping[str, int]
    connections: int
    p99_ms: float
    gateway: float
    idle: float
    redis: float

    @property
    def polls(self) -> int:
        """How many polls were answered."""
        return sum(self.answers.values())

    @property
    def unchanged_share(self) -> float:
        """How many of the answers were 304."""
        return self.answers.get(_NOT_MODIFIED, 0) / self.polls

    @property
    def ms_per_poll(self) -> float:
        """What an answer cost the gateway, in milliseconds of its processor time."""
        return 1000 * self.gateway * self.seconds / self.polls


def expected_unchanged(every_seconds: float, change_seconds: float | None) -> float:
    """Return how many of the answers can be 304 at most: after each change everybody has to be told of it once."""
    return 1.0 if change_seconds is None else max(0.0, 1.0 - every_seconds / change_seconds)


class CoreShare:
    """Which share of one core a process had since this was made."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._spent, self._began = self._now(), time.perf_counter()

    def _now(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def read(self) -> float:
        """Return it."""
        return (self._now() - self._spent) / (time.perf_counter() - self._began)


def idle_share(rig: WorklistRig, *, seconds: float) -> float:
    """Return which share of a core the gateway has while nobody asks."""
    meter = CoreShare(rig.gateway.process.pid)
    time.sleep(seconds)
    return meter.read()


def polled(
    rig: WorklistRig, who: SignedIn, path: str, *, seconds: float, idle: float, change_seconds: float | None = None
) -> Polled:
    """Have the crowd ask for ``seconds``, while a film comes in every ``change_seconds``.

    Raises
    ------
    LoadFailed
        If a poll was answered with anything but 200 or 304, or not at all.
    """
    command = [sys.executable, "-m", "benchmarks.pollers", rig.url, "--path", path, "--cookie", who.cookie]
    command += ["--clients", str(CLIENTS), "--every", str(EVERY_SECONDS), "--seconds", str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as crowd:
        assert crowd.stdout is not None
        if crowd.stdout.readline() != "begin\n":
            raise LoadFailed("the pages that poll did not begin")
        gateway, redis = CoreShare(rig.gateway.process.pid), CoreShare(rig.server.pid)
        if change_seconds is not None:
            send_films(rig, who, seconds=seconds, every_seconds=change_seconds)
        line = crowd.stdout.readline()
        spent = gateway.read(), redis.read()
        if crowd.wait(_PATIENCE_SECONDS) or not line:
            raise LoadFailed("the pages that poll did not end in order")
    found = json.loads(line)
    if found["broken"] or not found["statuses"] or set(found["statuses"]) - {_OK, _NOT_MODIFIED}:
        raise LoadFailed(f"polls were answered with {found['statuses']}, and {found['broken']} not at all")
    return Polled(
        clients=CLIENTS,
        seconds=seconds,
        change_seconds=change_seconds,
        answers=found["statuses"],
        connections=found["connections"],
        p99_ms=found["p99_ms"],
        gateway=max(0.0, spent[0] - idle),
        idle=idle,
        redis=spent[1],
    )


def send_films(rig: WorklistRig, who: SignedIn, *, seconds: float, every_seconds: float) -> None:
    """Send a film every so often for ``seconds``: without a worker each is one change, that it waits."""
    films, ends = Films(small_pngs()), time.monotonic() + seconds
    options: dict[str, Any] = {"trust_env": False, "timeout": _PATIENCE_SECONDS}
    with httpx.Client(base_url=rig.url, headers={"Authorization": f"Bearer {who.key}"}, **options) as client:
        for number in range(int(seconds / every_seconds)):
            media_type, payload = films.film(number)
            client.post("/v1/instances", content=payload, headers={"Content-Type": media_type}).raise_for_status()
            time.sleep(max(0.0, min(every_seconds, ends - time.monotonic())))
