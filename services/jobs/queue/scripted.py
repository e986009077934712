"""What every side of the queue stands on: one client, its scripts, and how long a call may take."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis

from model.errors import Reason
from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.limits import QueueLimits
from services.jobs.records import Record
from services.jobs.stored import record_of

PAGE = 1000  # films per call of a sweeping script, so that no call holds up Redis for long

# Ends that say more of us than of the film; they are listed in the DEAD stream, and may be queued again.
OUR_FAULT = frozenset({Reason.WORKER_CRASH, Reason.RETRIES_EXHAUSTED, Reason.DEADLINE, Reason.PAYLOAD_DIGEST})

_Reply = TypeVar("_Reply")


class Scripted:
    """Runs scripts, and turns what Redis has to say into ours.

    Parameters
    ----------
    limits
        At which backlog a film is refused, and at which age an open one is overdue.
    retry_seconds
        How long a film waits after each of its transient failures; after the last it has no more tries.
    patience_seconds
        After so long any call ends in QueueUnavailable; ``None`` leaves it to the client's own retries.
    source
        Where the text of a script comes from.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        limits: QueueLimits | None = None,
        retry_seconds: Sequence[float] = (1.0, 5.0, 25.0),
        patience_seconds: float | None = 5.0,
        source: Callable[[str], str] = lua.source,
    ) -> None:
        self._redis = redis
        self._limits = limits or QueueLimits()
        self._waits_ms = [int(1000 * seconds) for seconds in retry_seconds]
        self._patience_seconds = patience_seconds
        self._unanswered: dict[tuple[str, str], str] = {}
        self._scripts = {name: redis.register_script(source(name)) for name in lua.NAMES}

    async def _ask(self, reply: Awaitable[_Reply]) -> _Reply:
        async with bounded(self._patience_seconds):
            return await reply

    async def _run(self, script: str, *arguments: str | float) -> Any:
        return await self._ask(self._scripts[script](keys=[keys.OPEN], args=arguments))

    def _record(self, fields: list[str | None]) -> Record:
        return record_of(fields, now_ms=now_ms(), limits=self._limits)


def now_ms() -> int:
    """Return this host's clock in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
