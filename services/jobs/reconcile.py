"""Queue and spool compared: what one of them lost, the other gives back.

Run by the gateway before it is ready and by a worker every minute; any number may run it at once, every step may be
repeated. Place in the walk: beside it, so that a film held by nobody is found again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from itertools import islice

from model.decision import Outcome
from services.jobs.queue import JobQueue, Registration
from services.jobs.records import Job, JobState
from services.jobs.spool import Spool

logger = logging.getLogger(__name__)

UNCLAIMED_SECONDS = 60.0  # a younger payload may still be on its way from the spool to the queue
_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long payloads of finished films are kept. Shorter than records live, or replay would repeat old films."""

    scored_seconds: float = 86_400.0
    unread_seconds: float = 30 * 86_400.0

    def of(self, outcome: Outcome | None) -> float:
        """Return how long the payload of a film with this outcome is kept."""
        return self.scored_seconds if outcome is not None and outcome.is_scored else self.unread_seconds


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """What a run did: films queued again, ended by the deadline, submitted again; payloads and files removed."""

    requeued: int
    expired: int
    resubmitted: int
    removed_payloads: int
    removed_files: int


async def reconcile(
    queue: JobQueue, spool: Spool, *, deadline_seconds: float | None = None, retention: Retention | None = None
) -> Reconciliation:
    """Heal what queue and spool know differently of each other.

    Open films that nothing holds are queued again; payloads that no record names are submitted again (a Redis that
    lost its tail, or everything); payloads whose film is registered with another one, or is past retention, are
    removed. With ``deadline_seconds`` films open for longer end ``not_assessed(deadline)``.

    Raises
    ------
    QueueUnavailable, SpoolUnavailable
        Where either does not answer; what was healed until then stays, and a later run does the rest.
    """
    requeued = await queue.reconcile()
    expired = await queue.expire(deadline_seconds=deadline_seconds) if deadline_seconds is not None else 0
    resubmitted = removed = 0
    jobs = spool.journal(older_than_seconds=UNCLAIMED_SECONDS)
    while page := await asyncio.to_thread(lambda: list(islice(jobs, _PAGE))):
        known = await queue.registrations([job.id for job in page])
        for job in page:
            registration = known.get(job.id)
            if registration is None:
                await queue.resubmit(job)
                resubmitted += 1
            elif await _is_removable(queue, job, registration, retention or Retention()):
                await asyncio.to_thread(spool.remove, job)
                removed += 1
    outcome = Reconciliation(
        requeued=requeued,
        expired=expired,
        resubmitted=resubmitted,
        removed_payloads=removed,
        removed_files=await asyncio.to_thread(spool.tidy),
    )
    logger.info("reconciled", extra={"action": "reconciled", **vars(outcome)})
    return outcome


async def _is_removable(queue: JobQueue, job: Job, registration: Registration, retention: Retention) -> bool:
    if registration.payload != job.payload:
        return True
    if registration.state is not JobState.DONE or registration.done_ms is None:
        return False
    if time.time() - registration.done_ms / 1000 < retention.of(registration.outcome):
        return False
    # Redis first: a payload that it no longer names is removed by the next run, a missing one could not be told.
    return await queue.forget_payload(job.id, job.payload)
