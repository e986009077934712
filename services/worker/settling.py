"""What becomes of one film that this worker holds: assessed and finished, put off, or given up.

Must not know which films a worker holds, nor how one is assessed. Between ``consumer`` and ``assessment`` in the walk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from model.decision import not_assessed
from model.errors import ImageError, ModelError, NonFiniteScore, Reason
from services.jobs.errors import JobsError, QueueUnavailable
from services.jobs.probes import Readiness
from services.jobs.queue import JobQueue
from services.jobs.records import ModelReference, TakenJob, Timings
from services.worker import metrics
from services.worker.assessment import Assessment, Assessor
from services.worker.heartbeat import HeartbeatThread

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

OUTAGE_PAUSE_SECONDS: Final = 0.5


class Settler:
    """Settles films one caller at a time; many callers at once do no harm to each other.

    ``model`` says which model serves, for the count of films that none looked at; a film that outlived more than
    ``max_crashes`` workers is not tried again.
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
        max_crashes: int,
    ) -> None:
        self._name = name
        self._queue = queue
        self._assessor = assessor
        self._heartbeat = heartbeat
        self._readiness = readiness
        self._model = model
        self._max_crashes = max_crashes

    async def settle(self, taken: TakenJob) -> None:
        """Assess a film, and finish it or put it off; never raises, whatever is wrong with it.

        Where even that fails it stays in the queue as this worker's, which gives it to another after a while.
        """
        try:
            await self._finish_or_try_again(taken)
        except Exception:  # the film's outermost guard
            logger.exception("job left behind", extra=ids(taken) | {"action": "job_left_behind"})

    async def _finish_or_try_again(self, taken: TakenJob) -> None:
        try:
            assessment = await self._assess(taken)
        except (ModelError, JobsError) as error:
            if error.retryable:
                await self._try_again(taken, error.code)
            else:
                await self._give_up(taken, error)
        except Exception:  # a bug of ours must not lose the film either
            logger.exception("job failed unexpectedly", extra=ids(taken) | {"action": "job_failed_unexpectedly"})
            await self._try_again(taken, "unexpected")
        else:
            await self._finish(taken, assessment)

    async def _assess(self, taken: TakenJob) -> Assessment:
        if taken.crashes > self._max_crashes:
            return Assessment(decision=not_assessed(Reason.WORKER_CRASH))
        return await self._assessor.assess(taken.job)

    async def _try_again(self, taken: TakenJob, code: str) -> None:
        logger.warning("job failed for now", extra=ids(taken) | {"action": "job_failed_for_now", "code": code})
        metrics.RETRIES.labels(code).inc()
        will_be_tried = await self._until_answered(taken, lambda: self._queue.retry(self._name, taken))
        if will_be_tried is False:
            await self._finish(taken, Assessment(decision=not_assessed(Reason.RETRIES_EXHAUSTED)))

    async def _give_up(self, taken: TakenJob, error: ModelError | JobsError) -> None:
        """End a film where trying again cannot help."""
        logger.warning("job given up", extra=ids(taken) | {"action": "job_given_up", "code": error.code})
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
        logger.info("job done", extra=ids(taken) | {"action": "job_done"} | outcome)
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
                await asyncio.sleep(OUTAGE_PAUSE_SECONDS)
        return None


def ids(taken: TakenJob) -> dict[str, object]:
    """Return what a log line says of a film."""
    return {"job_id": taken.job.id, "tries": taken.tries, "crashes": taken.crashes}


def _reason_of(error: ModelError | JobsError) -> Reason:
    if isinstance(error, ImageError):
        return error.reason
    return Reason.NON_FINITE if isinstance(error, NonFiniteScore) else Reason.RETRIES_EXHAUSTED
