"""Takes jobs, has them settled, gives back what a stop leaves over; loses none and runs suspects alone.

Owns which jobs this worker holds. Must not know what becomes of one; ``settling`` does. First step of the worker's part
of the walk (DESIGN §4, RELIABILITY.md §3).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from services.jobs.ending import end
from services.jobs.errors import QueueUnavailable
from services.jobs.probes import Readiness
from services.jobs.queue import JobQueue
from services.jobs.records import TakenJob
from services.worker import metrics
from services.worker.heartbeat import HeartbeatThread
from services.worker.settling import OUTAGE_PAUSE_SECONDS, Settler, ids

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

_BLOCK_MS: Final = 1000
_REAP_EVERY_SECONDS: Final = 1.0
# At a stop: what is being assessed may still finish; the rest is released. Together below the 10 s that supervisors
# grant, with time for a Redis whose disk is busy: what it does not release in time is taken for a crash.
DRAIN_SECONDS: Final = 4.0
_RELEASE_SECONDS: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class ConsumerLimits:
    """How much a worker holds, and when it gives up on others.

    ``in_flight`` also bounds memory: a payload is only in a child's memory, a held film costs one tensor here.
    ``drain_seconds`` is how long films under way may still take after a stop.
    """

    in_flight: int
    idle_seconds: float
    drain_seconds: float = DRAIN_SECONDS


class Consumer:
    """One worker's side of the queue.

    One loop takes and reaps, so that a suspect can have the worker to itself: a film that kills the process must not
    take neighbours with it (RELIABILITY.md §0 fact 10). Each job is then a task of its own.
    """

    def __init__(
        self,
        name: str,
        *,
        queue: JobQueue,
        settler: Settler,
        heartbeat: HeartbeatThread,
        readiness: Readiness,
        limits: ConsumerLimits,
    ) -> None:
        self._name = name
        self._queue = queue
        self._settler = settler
        self._heartbeat = heartbeat
        self._readiness = readiness
        self._limits = limits
        self._idle_ms = round(limits.idle_seconds * 1000)
        self._held: dict[str, TakenJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()
        self._next_reap = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop``, then finish what is under way and release the rest."""
        while not stop.is_set():
            try:
                await self._take_over(stop)
                await self._take(stop)
            except QueueUnavailable:
                self._readiness.set_queue_reachable(False)
                await _unless_stopped(asyncio.sleep(OUTAGE_PAUSE_SECONDS), stop)
        await self._wind_down()

    async def _take(self, stop: asyncio.Event) -> None:
        room = self._limits.in_flight - len(self._tasks)
        if room <= 0:
            await self._until_one_is_settled()
            return
        for taken in await _unless_stopped(self._queue.take(self._name, count=room, block_ms=_BLOCK_MS), stop) or ():
            self._start(taken)

    async def _until_one_is_settled(self) -> None:
        """Wait for room, or until it is time to reap; what ``asyncio.wait`` costs grows with the films in flight."""
        self._settled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_REAP_EVERY_SECONDS):
                await self._settled.wait()

    async def _take_over(self, stop: asyncio.Event) -> None:
        """Take what silent workers held, one by one and each alone, until there is no more of it."""
        if time.monotonic() < self._next_reap:
            return
        # Set first: where reaping fails, taking must still have its turn.
        self._next_reap = time.monotonic() + _REAP_EVERY_SECONDS
        while await self._is_free_for_a_suspect(stop):
            suspect = await _unless_stopped(self._queue.reap(self._name, idle_ms=self._idle_ms), stop)
            if suspect is None:
                return
            logger.info("job taken over", extra=ids(suspect) | {"action": "job_taken_over"})
            self._start(suspect)
            await self._drain(stop)

    async def _is_free_for_a_suspect(self, stop: asyncio.Event) -> bool:
        """Finish what is held while there are suspects; return whether nothing is held and there still are.

        Before one is reaped, not after: it would be blamed for what this worker dies of meanwhile. Of several workers
        that see one, the first that is free has it, and the others go on.
        """
        while not stop.is_set() and self._heartbeat.is_current:
            looking = self._queue.has_suspects(self._name, idle_ms=self._idle_ms, holding=tuple(self._held))
            if not await _unless_stopped(looking, stop):
                return False
            if not self._tasks:
                return True
            await asyncio.wait(self._tasks, timeout=_REAP_EVERY_SECONDS)
        return False

    def _hold(self, taken: TakenJob) -> None:
        self._held[taken.job.id] = taken
        self._heartbeat.hold(taken)
        metrics.IN_FLIGHT.set(len(self._held))

    def _drop(self, taken: TakenJob) -> None:
        self._held.pop(taken.job.id, None)
        self._heartbeat.drop(taken)
        metrics.IN_FLIGHT.set(len(self._held))

    def _start(self, taken: TakenJob) -> None:
        self._hold(taken)
        task = asyncio.create_task(self._settle(taken))
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._settled.set()

    async def _settle(self, taken: TakenJob) -> None:
        await self._settler.settle(taken)
        self._drop(taken)  # not where a stop cancels it: then it is still ours to give back

    async def _drain(self, stop: asyncio.Event) -> None:
        while self._tasks and not stop.is_set():
            await asyncio.wait(self._tasks, timeout=_REAP_EVERY_SECONDS)

    async def _wind_down(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._limits.drain_seconds)
        await end(self._tasks)
        left = list(self._held.values())
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._queue.release(self._name, left)
        except (QueueUnavailable, TimeoutError):
            # Nothing is lost: they look abandoned after the idle limit, at the price of running alone once.
            logger.warning("jobs not released", extra={"action": "jobs_not_released", "jobs": len(left)})
        else:
            logger.info("jobs released", extra={"action": "jobs_released", "jobs": len(left)})
        for taken in left:
            self._drop(taken)


async def _unless_stopped(step: Coroutine[Any, Any, _Answer], stop: asyncio.Event) -> _Answer | None:
    """Return the step's answer, or ``None`` where a stop came first.

    What a step that was cut off has taken all the same the queue knows, and gives back with ``release``.
    """
    running, stopped = asyncio.ensure_future(step), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end((running, stopped))
    return None if running.cancelled() or not running.done() else running.result()
