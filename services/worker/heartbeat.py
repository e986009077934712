"""Keeps held films ours while they are worked on, and ends a worker that is alive but no longer working.

Owns a thread and a connection of its own, so that neither a long inference nor a busy event loop makes a film look
abandoned. Must not know what happens to a film. Beside the walk, not in it (RELIABILITY.md §3).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from services.jobs.errors import QueueUnavailable
from services.jobs.records import TakenJob
from services.worker import metrics

logger = logging.getLogger(__name__)

# sysexits.h EX_SOFTWARE; a supervisor restarts the worker, other workers take its films over.
EXIT_HUNG: Final = 70
_RETRY_SECONDS: Final = 0.5


class Watchdog:
    """Knows since when something that must end has been running. Thread-safe."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[object, tuple[str, float]] = {}

    @contextmanager
    def deadline(self, name: str) -> Iterator[None]:
        """Expect the block to end within the watchdog's seconds; several of one name may run at once."""
        block = object()
        self._since[block] = name, time.monotonic()
        try:
            yield
        finally:
            del self._since[block]

    def tick(self, name: str) -> None:
        """Expect another tick of this name within the watchdog's seconds."""
        self._since[name] = name, time.monotonic()

    def overdue(self) -> str | None:
        """Return the name of what should have ended by now, if anything."""
        now = time.monotonic()
        return next((name for name, since in list(self._since.values()) if now - since > self._seconds), None)


class HeartbeatThread(threading.Thread):
    """Beats for every held film until ended.

    A film that the queue has given to another worker is remembered as lost: this worker must not finish it.

    Parameters
    ----------
    beat
        ``services.jobs.beat.Beat`` with this worker's name: keeps these films, returns the ids of those that are not
        ours any more, raises ``QueueUnavailable``.
    every_seconds
        Pause between beats; after a failure it is shorter, because Redis counts idleness through its own outage.
    watchdog
        Asked before every beat; when something is overdue the process ends with ``EXIT_HUNG``.
    """

    def __init__(
        self, beat: Callable[[list[TakenJob]], Collection[str]], *, every_seconds: float, watchdog: Watchdog
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._beat = beat
        self._every_seconds = every_seconds
        self._watchdog = watchdog
        self._lock = threading.Lock()
        self._held: dict[str, TakenJob] = {}
        self._lost: set[str] = set()
        self._last_success = time.monotonic()
        self._ended = threading.Event()

    def hold(self, taken: TakenJob) -> None:
        """Keep this film alive from now on."""
        with self._lock:
            self._held[taken.job.id] = taken
            self._lost.discard(taken.job.id)

    def drop(self, taken: TakenJob) -> None:
        """Stop keeping it alive; harmless where it is not held."""
        with self._lock:
            self._held.pop(taken.job.id, None)
            self._lost.discard(taken.job.id)

    def is_lost(self, taken: TakenJob) -> bool:
        """Return whether another worker has this film now."""
        with self._lock:
            return taken.job.id in self._lost

    @property
    def is_current(self) -> bool:
        """Whether the last two beats were not both missed: only then may this worker call others silent."""
        return time.monotonic() - self._last_success < 2 * self._every_seconds + _RETRY_SECONDS

    def run(self) -> None:
        """Beat until ``end``; where beating fails in a way that nobody foresaw, end the process.

        A worker whose beats have stopped would go on with films that are given to others.
        """
        try:
            self._beat_until_ended()
        except Exception:  # the thread's outermost guard: class and place are logged, no library's text
            logger.critical("heartbeat failed", exc_info=True, extra={"action": "heartbeat_failed"})
            os._exit(EXIT_HUNG)

    def _beat_until_ended(self) -> None:
        pause = self._every_seconds
        while not self._ended.wait(pause):
            self._exit_if_hung()
            try:
                self._beat_once()
            except QueueUnavailable:
                pause = min(_RETRY_SECONDS, self._every_seconds)  # the consumer reports the outage
            else:
                pause = self._every_seconds

    def end(self) -> None:
        """Stop beating; a beat that still waits for Redis is not waited for."""
        self._ended.set()
        self.join(timeout=_RETRY_SECONDS)

    def _beat_once(self) -> None:
        with self._lock:
            held = dict(self._held)
        lost = self._beat(list(held.values()))
        with self._lock:
            # What was dropped while Redis answered was finished, not lost; what was taken anew meanwhile is ours again.
            still_held = {film_id for film_id, taken in self._held.items() if held.get(film_id) is taken}
            lost = [film_id for film_id in lost if film_id in still_held and film_id not in self._lost]
            self._lost.update(lost)
        for film_id in lost:
            logger.warning("job lost to another worker", extra={"action": "job_lost", "job_id": film_id})
        self._last_success = time.monotonic()
        metrics.HEARTBEAT.set_to_current_time()

    def _exit_if_hung(self) -> None:
        name = self._watchdog.overdue()
        if name is None:
            return
        logger.critical("worker hangs", extra={"action": "worker_hangs", "what": name, "exit_code": EXIT_HUNG})
        # Not sys.exit: the thread that hangs would be waited for.
        os._exit(EXIT_HUNG)
