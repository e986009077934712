"""Takes jobs, has them assessed, finishes them; loses none and finishes none twice.

Owns which jobs this worker holds and what becomes of each. Must not know how a film is assessed. First and last step
of the worker's part of the walk (DESIGN §4, RELIABILITY.md §3).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from model.decision import not_assessed
from model.errors import ImageError, ModelError, NonFiniteScore, Reason
from services.jobs.errors import JobsError, QueueUnavailable
from services.jobs.queue import JobQueue
from services.jobs.records import ModelReference, TakenJob, Timings
from services.worker import metrics
from services.worker.assessment import Assessment, Assessor
from services.worker.heartbeat import HeartbeatThread
from services.worker.probes import Readiness

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

# Short enough that a stop is noticed soon.
_BLOCK_MS: Final = 1000
_REAP_EVERY_SECONDS: Final = 1.0
_OUTAGE_PAUSE_SECONDS: Final = 0.5
# At a stop: a take that Redis answers is back by then; what is being assessed may still finish; the rest is released.
# Together below the 10 s that supervisors grant.
_LAST_TAKE_SECONDS: Final = 1.5
DRAIN_SECONDS: Final = 4.0
_RELEASE_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class ConsumerLimits:
    """How much a worker holds, and when it gives up on others and on films.

    ``in_flight`` also bounds memory: a payload is only in a child's memory, a held film costs one tensor here.
    ``drain_seconds`` is how long films under way may still take after a stop.
    """

    in_flight: int
    idle_seconds: float
    max_crashes: int
    drain_seconds: float = DRAIN_SECONDS


class Consumer:
    """One worker's side of the queue.

    One loop takes and reaps, so that a suspect can have the worker to itself: a film that kills the process must not
    take neighbours with it (RELIABILITY.md §0 fact 10). Each job is then a task of its own. ``model`` says which model
    serves, for the count of films that none looked at.
    """

    def __init__(
        self,
        name: str,
        *,
        queue: JobQueue,
        assessor: Assessor,
        heartbeat: HeartbeatThread,
        readiness: Readiness,
        model: Callable[[], ModelReference],
        limits: ConsumerLimits,
    ) -> None:
        self._name = name
        self._queue = queue
        self._assessor = assessor
        self._heartbeat = heartbeat
        self._readiness = readiness
        self._model = model
        self._limits = limits
        self._held: dict[str, TakenJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_reap = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop``, then finish what is under way and release the rest."""
        while not stop.is_set():
            try:
                await self._take_over(stop)
                await self._take(stop)
            except QueueUnavailable:
                self._readiness.set_queue_reachable(False)
                await _first_of(asyncio.sleep(_OUTAGE_PAUSE_SECONDS), stop)
        await self._wind_down()

    async def _take(self, stop: asyncio.Event) -> None:
        room = self._limits.in_flight - len(self._tasks)
        if room <= 0:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED, timeout=_REAP_EVERY_SECONDS)
            return
        for taken in await _first_of(self._queue.take(self._name, count=room, block_ms=_BLOCK_MS), stop) or ():
            self._start(taken)

    async def _take_over(self, stop: asyncio.Event) -> None:
        """Take what silent workers held, one by one and each alone, until there is no more of it."""
        if time.monotonic() < self._next_reap or not self._heartbeat.is_current:
            return
        # Set first: where reaping fails, taking must still have its turn.
        self._next_reap = time.monotonic() + _REAP_EVERY_SECONDS
        idle_ms = round(self._limits.idle_seconds * 1000)
        while not stop.is_set():
            suspect = await _first_of(self._queue.reap(self._name, idle_ms=idle_ms, holding=tuple(self._held)), stop)
            if suspect is None:
                return
            logger.info("job taken over", extra=_ids(suspect) | {"action": "job_taken_over"})
            self._hold(suspect)
            await self._drain(stop)
            if not stop.is_set():
                self._start(suspect)
                await self._drain(stop)

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
        task = asyncio.create_task(self._process(taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, stop: asyncio.Event) -> None:
        while self._tasks and not stop.is_set():
            await asyncio.wait(self._tasks, timeout=_REAP_EVERY_SECONDS)

    async def _process(self, taken: TakenJob) -> None:
        try:
            await self._finish_or_try_again(taken)
        except Exception:  # the task's outermost guard: the film stays in the queue, which gives it to another
            logger.exception("job left behind", extra=_ids(taken) | {"action": "job_left_behind"})
        self._drop(taken)

    async def _finish_or_try_again(self, taken: TakenJob) -> None:
        try:
            assessment = await self._assess(taken)
        except (ModelError, JobsError) as error:
            if error.retryable:
                await self._try_again(taken, error.code)
            else:
                await self._give_up(taken, error)
        except Exception:  # a bug of ours must not lose the film either
            logger.exception("job failed unexpectedly", extra=_ids(taken) | {"action": "job_failed_unexpectedly"})
            await self._try_again(taken, "unexpected")
        else:
            await self._finish(taken, assessment)

    async def _assess(self, taken: TakenJob) -> Assessment:
        if taken.crashes > self._limits.max_crashes:
            return Assessment(decision=not_assessed(Reason.WORKER_CRASH))
        return await self._assessor.assess(taken.job)

    async def _try_again(self, taken: TakenJob, code: str) -> None:
        logger.warning("job failed for now", extra=_ids(taken) | {"action": "job_failed_for_now", "code": code})
        metrics.RETRIES.labels(code).inc()
        will_be_tried = await self._until_answered(taken, lambda: self._queue.retry(self._name, taken))
        if will_be_tried is False:
            await self._finish(taken, Assessment(decision=not_assessed(Reason.RETRIES_EXHAUSTED)))

    async def _give_up(self, taken: TakenJob, error: ModelError | JobsError) -> None:
        """End a film where trying again cannot help."""
        logger.warning("job given up", extra=_ids(taken) | {"action": "job_given_up", "code": error.code})
        await self._finish(taken, Assessment(decision=not_assessed(_reason_of(error))))

    async def _finish(self, taken: TakenJob, assessment: Assessment) -> None:
        now_ms = time.time() * 1000
        timings = Timings(
            queue=max(0.0, taken.taken_ms - taken.job.submitted_ms),
            decode=assessment.decode_ms,
            inference=assessment.inference_ms,
            total=max(0.0, now_ms - taken.job.submitted_ms),
        )
        is_ours = await self._until_answered(
            taken,
            lambda: self._queue.finish(
                taken, assessment.decision, model=assessment.model, timings=timings, pictures=assessment.pictures
            ),
        )
        if is_ours:
            self._report(taken, assessment, timings)

    def _report(self, taken: TakenJob, assessment: Assessment, timings: Timings) -> None:
        decision = assessment.decision
        outcome = {"outcome": str(decision.outcome), "reason": str(decision.reason) if decision.reason else None}
        logger.info("job done", extra=_ids(taken) | {"action": "job_done"} | outcome)
        metrics.observe_stages(queue=timings.queue, decode=timings.decode, inference=timings.inference)
        metrics.count_decision(
            decision,
            site=taken.job.site,
            priority=taken.job.priority,
            model=assessment.model or self._model(),
            total_ms=timings.total or 0.0,
        )

    async def _until_answered(self, taken: TakenJob, step: Callable[[], Awaitable[_Answer]]) -> _Answer | None:
        """Repeat an idempotent step until Redis has answered it; ``None`` where the film has become another's."""
        while not self._heartbeat.is_lost(taken):
            try:
                return await step()
            except QueueUnavailable:
                self._readiness.set_queue_reachable(False)
                await asyncio.sleep(_OUTAGE_PAUSE_SECONDS)
        return None

    async def _wind_down(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._limits.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
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


def _reason_of(error: ModelError | JobsError) -> Reason:
    if isinstance(error, ImageError):
        return error.reason
    return Reason.NON_FINITE if isinstance(error, NonFiniteScore) else Reason.RETRIES_EXHAUSTED


def _ids(taken: TakenJob) -> dict[str, object]:
    return {"job_id": taken.job.id, "tries": taken.tries, "crashes": taken.crashes}


async def _first_of(step: Coroutine[Any, Any, _Answer], stop: asyncio.Event) -> _Answer | None:
    """Return the step's answer, or ``None`` where a stop came first and the step is not over soon after.

    Not cancelled at once, because a take that is under way may already have given jobs to this worker.
    """
    running, stopped = asyncio.ensure_future(step), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await asyncio.wait({running}, timeout=_LAST_TAKE_SECONDS)
        if running.done():
            return running.result()
        return None
    finally:
        for task in (running, stopped):
            task.cancel()
        await asyncio.gather(running, stopped, return_exceptions=True)
