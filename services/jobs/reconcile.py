"""Queue and spool compared: what one of them lost, the other gives back.

Run by the gateway before it is ready and by a worker every minute; any number may run it at once, every step may be
repeated. Place in the walk: beside it, so that a film held by nobody is found again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from model.decision import Outcome
from services.jobs.errors import LedgerUnavailable
from services.jobs.ledger.restore import LedgerReader
from services.jobs.limits import Deadlines, QueueLimits
from services.jobs.queue import JobQueue, Registration
from services.jobs.records import Job, JobState
from services.jobs.settings import ApiSettings, QueueSettings
from services.jobs.spool import Spool, film_id_of

logger = logging.getLogger(__name__)

# A younger payload may still be on its way from the spool to the queue: a submit takes 5 s at most, and the file's
# clock starts before it is synced.
UNCLAIMED_SECONDS = 15.0
_PAGE = 1000
_LOST_AT_ONCE = 5_000  # their jobs and ledgered outcomes are in memory together, about 80 MB (16 KB a film, measured)


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
    """What a run did: films queued again, ended by the deadline, given their outcomes back, or submitted again.

    And how many payloads and leftover files it removed.
    """

    requeued: int
    expired: int
    restored: int
    resubmitted: int
    removed_payloads: int
    removed_files: int


def deadlines_of(settings: QueueSettings) -> Deadlines:
    """Return the deadlines that the settings say."""
    return Deadlines(
        stat_seconds=settings.deadline_stat_seconds,
        routine_seconds=settings.deadline_routine_seconds,
        of_sites=settings.site_deadline_seconds,
    )


def limits_of(settings: ApiSettings) -> QueueLimits:
    """Return what may wait; the same for every door that films come in by."""
    return QueueLimits(
        routine_depth=settings.routine_depth,
        stat_reserve=settings.stat_reserve,
        open_bytes=settings.queue_bytes,
        site_share=settings.site_share,
        overdue_stat_seconds=settings.overdue_stat_seconds,
        overdue_routine_seconds=settings.overdue_routine_seconds,
    )


async def reconcile(
    queue: JobQueue,
    spool: Spool,
    *,
    deadlines: Deadlines | None = None,
    ledger: LedgerReader | None = None,
    retention: Retention | None = None,
    is_start: bool = False,
) -> Reconciliation:
    """Heal what queue and spool know differently of each other.

    Open films that nothing holds are queued again; payloads that no record names (a Redis that lost its tail, or
    everything) get the outcome that the ``ledger`` has, or are submitted again; payloads whose film is registered with
    another one, or is past retention, are removed. At a start, of us or of Redis, open films too get the outcome that
    the ledger has: Redis may have lost that they were finished. With ``deadlines`` films past theirs end
    ``not_assessed(deadline)``.

    Raises
    ------
    QueueUnavailable, SpoolUnavailable
        Where either does not answer; what was healed until then stays, and a later run does the rest.
    """
    lost = _Lost(queue, ledger)
    if is_start:
        await lost.remember()
    requeued = await queue.reconcile()
    expired = await queue.expire(deadlines) if deadlines is not None else 0
    removed = await _look_through(spool, queue, lost, retention or Retention(), reads_all=is_start)
    await lost.give_back()
    outcome = Reconciliation(
        requeued=requeued,
        expired=expired,
        restored=lost.restored,
        resubmitted=lost.resubmitted,
        removed_payloads=removed,
        removed_files=await asyncio.to_thread(spool.tidy),
    )
    logger.info("reconciled", extra={"action": "reconciled", **vars(outcome)})
    return outcome


async def _look_through(spool: Spool, queue: JobQueue, lost: _Lost, retention: Retention, *, reads_all: bool) -> int:
    """Gather the payloads that no record names, and remove those whose time is over; return how many.

    Sidecars are read where Redis does not know the film. ``reads_all``: the others too, so that damage is noticed
    before it matters; but not each minute of ten thousand films that wait.
    """
    removed = 0
    payloads = spool.kept(older_than_seconds=UNCLAIMED_SECONDS)
    while page := await asyncio.to_thread(lambda: list(islice(payloads, _PAGE))):
        known = await queue.registrations([film_id_of(payload) for payload in page])
        wanted = [payload for payload in page if reads_all or film_id_of(payload) not in known]
        jobs = await asyncio.to_thread(_read_jobs, spool, wanted)
        for payload in page:
            registration, job = known.get(film_id_of(payload)), jobs.get(payload)
            if registration is None and job is not None:
                await lost.add(job)
            elif registration is not None and await _is_removable(queue, payload, registration, retention):
                await asyncio.to_thread(spool.remove, payload)
                removed += 1
    return removed


def _read_jobs(spool: Spool, payloads: Iterable[str]) -> dict[str, Job | None]:
    return {payload: spool.job_of(payload) for payload in payloads}


class _Lost:
    """Films whose payloads no record names, gathered because a look at the ledger costs the same for one and many."""

    def __init__(self, queue: JobQueue, ledger: LedgerReader | None) -> None:
        self._queue = queue
        self._ledger = ledger
        self._jobs: list[Job] = []
        self.restored = 0
        self.resubmitted = 0

    async def add(self, job: Job) -> None:
        self._jobs.append(job)
        if self._ledger is None or len(self._jobs) >= _LOST_AT_ONCE:
            await self.give_back()

    async def give_back(self) -> None:
        """Restore what the ledger has, submit the rest again."""
        jobs, self._jobs = self._jobs, []
        ledgered = await self._from_ledger(jobs)
        for job in jobs:
            if job.id not in ledgered:
                await self._queue.resubmit(job)
        self.restored += len(ledgered)
        self.resubmitted += sum(job.id not in ledgered for job in jobs)

    async def remember(self) -> None:
        """Have Redis know again what is no film's payload, in this order."""
        await self.remember_policies()  # before any film is decided
        await self.remember_assessments()  # before what was read blind is drawn once more
        await self.reject_again()  # before what they name comes back
        await self.close_finished()  # before any of them meets its deadline

    async def remember_policies(self) -> None:
        """Have sites decide by what they chose, where Redis does not know it any more."""
        if self._ledger is not None:
            with _survives_an_unreadable_ledger():
                await self._ledger.restore_policies()

    async def remember_assessments(self) -> None:
        """Have what readers said counted again, where Redis does not know it any more."""
        if self._ledger is not None:
            with _survives_an_unreadable_ledger():
                await self._ledger.restore_assessments()

    async def reject_again(self) -> None:
        """Have what rejection notes named withdrawn, now and when it comes, where Redis does not know of them."""
        if self._ledger is None or (self._ledger.trusts_marks and await self._queue.knows_rejections()):
            return
        with _survives_an_unreadable_ledger():
            for site, uids in (await self._ledger.rejected_objects()).items():
                # Found by their UIDs alone: a Redis that has lost everything indexes all that comes back.
                await self._queue.withdraw_objects(site, [("", uid) for uid in sorted(uids)])
            await self._queue.note_rejections_known()

    async def close_finished(self) -> None:
        """End the open films that the ledger knows to have ended."""
        if self._ledger is not None:
            with _survives_an_unreadable_ledger():
                self.restored += await self._ledger.restore_open()

    async def _from_ledger(self, jobs: list[Job]) -> set[str]:
        if self._ledger is None or not jobs:
            return set()
        with _survives_an_unreadable_ledger():
            return await self._ledger.restore(jobs)
        return set()


@contextmanager
def _survives_an_unreadable_ledger() -> Iterator[None]:
    """Go on where the ledger cannot be read: the payloads are there, scoring them again is more work and no loss."""
    try:
        yield
    except LedgerUnavailable as error:
        logger.warning("audit trail unreadable", extra={"action": "ledger_unreadable", "code": error.code})


async def _is_removable(queue: JobQueue, payload: str, registration: Registration, retention: Retention) -> bool:
    if registration.state is None:
        return False
    if registration.payload != payload:
        return True
    if registration.state is not JobState.DONE or registration.done_ms is None:
        return False
    if time.time() - registration.done_ms / 1000 < retention.of(registration.outcome):
        return False
    # Redis first: a payload that it no longer names is removed by the next run, a missing one could not be told.
    return await queue.forget_payload(film_id_of(payload), payload)
