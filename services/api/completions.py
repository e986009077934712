"""Waiting for outcomes: one reader of the events stream per process wakes every request that waits.

The stream is capped and lossy by design, so a waiter also looks at the record itself now and then; nothing here is
needed for correctness, only for promptness.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.connection import translate_redis_errors
from services.jobs.errors import QueueUnavailable
from services.jobs.queue import JobQueue
from services.jobs.records import JobState, Record

logger = logging.getLogger(__name__)

_BLOCK_MS: Final = 1000
_EVENTS_PER_READ: Final = 1000
_RECONNECT_SECONDS: Final = 1.0
_REREAD_SECONDS: Final = 2.0


class Completions:
    """Tells waiting requests that a film is done.

    Parameters
    ----------
    redis
        A client of its own, whose timeout is longer than the blocking read.
    on_done
        Called once for every film that gets an outcome, at whatever worker.
    """

    def __init__(self, redis: Redis, queue: JobQueue, *, on_done: Callable[[], None]) -> None:
        self._redis = redis
        self._queue = queue
        self._on_done = on_done
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._is_stopping = False

    async def run(self) -> None:
        """Read events until cancelled. A lost connection is retried for ever; waiters then rely on looking again."""
        position = "$"
        while True:
            try:
                position = await self._read_after(position)
            except QueueUnavailable:
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _read_after(self, position: str) -> str:
        with translate_redis_errors():
            # redis-py's type tells nothing of the shape: [[stream, [[id, {field: value}]]]] by protocol 2.
            answer: Any = await self._redis.xread({keys.EVENTS: position}, count=_EVENTS_PER_READ, block=_BLOCK_MS)
        for _stream, entries in answer or ():
            for entry_id, fields in entries:
                position = entry_id
                self._heard(fields)
        return position

    async def wait(self, film_id: str, seconds: float) -> Record:
        """Return the film's record when it is done, after ``seconds``, or when the process stops; whatever is first.

        Raises
        ------
        JobNotFound, QueueUnavailable
            As ``JobQueue.record``.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        with self._registered(film_id) as woken:
            while True:
                record = await self._queue.record(film_id)
                left = deadline - clock()
                if record.state is JobState.DONE or left <= 0 or self._is_stopping:
                    return record
                woken.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, _REREAD_SECONDS)):
                        await woken.wait()

    def stop_waiting(self) -> None:
        """Answer everybody who waits with what is known now, so that a stopping process is not held up by them."""
        self._is_stopping = True
        for film_id in list(self._waiting):
            self._wake(film_id)

    @contextlib.contextmanager
    def _registered(self, film_id: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._waiting[film_id].add(event)
        try:
            yield event
        finally:
            self._waiting[film_id].discard(event)
            if not self._waiting[film_id]:
                del self._waiting[film_id]

    def _heard(self, fields: dict[str, str]) -> None:
        if fields.get("state") == JobState.DONE:
            self._on_done()
            self._wake(fields["id"])

    def _wake(self, film_id: str) -> None:
        for event in self._waiting.get(film_id, ()):
            event.set()
