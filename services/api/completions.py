"""Waiting for outcomes: a change that ``changes`` hears wakes every request that waits for this film.

Changes may be missed, so a waiter also looks at the record itself now and then; nothing here is needed for correctness,
only for promptness.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from services.api.changes import Change
from services.jobs.queue import JobQueue
from services.jobs.records import JobState, Record

_REREAD_SECONDS: Final = 2.0
# Films whose end was heard last: who begins to wait for one of them has missed the event.
_ENDS_KEPT: Final = 1024


class Completions:
    """Tells waiting requests that a film is done.

    Parameters
    ----------
    on_done
        Called once for every film that gets an outcome, at whatever worker.
    """

    def __init__(self, queue: JobQueue, *, on_done: Callable[[], None]) -> None:
        self._queue = queue
        self._on_done = on_done
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._is_stopping = False

    def hear(self, change: Change) -> None:
        """Take note of a change."""
        if change.state == JobState.DONE:
            self._on_done()
            self._ended[change.film_id] = None
            if len(self._ended) > _ENDS_KEPT:
                self._ended.popitem(last=False)
            self._wake(change.film_id)

    async def wait(self, record: Record, seconds: float) -> Record:
        """Return the film's record when it is done, after ``seconds``, or when the process stops; whatever is first.

        ``record`` is what the film was a moment ago. It is read again when its end is heard, or was lately, and now and
        then.

        Raises
        ------
        JobNotFound, QueueUnavailable
            As ``JobQueue.record``.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        with self._registered(record.id) as woken:
            if record.id in self._ended:
                woken.set()
            while record.state is not JobState.DONE and (left := deadline - clock()) > 0 and not self._is_stopping:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, _REREAD_SECONDS)):
                        await woken.wait()
                woken.clear()
                record = await self._queue.record(record.id)
        return record

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

    def _wake(self, film_id: str) -> None:
        for event in self._waiting.get(film_id, ()):
            event.set()
