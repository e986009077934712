"""From the outbox in Redis to the trail: every film that ends is written down, by whatever it ended.

The scripts that end films put them into the outbox in the same step; this takes them out once they are durable on
the disk. Nothing waits for it. Place in the walk: beside it, in every worker, several times a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from redis.asyncio import Redis

from model.errors import Reason
from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.errors import LedgerUnavailable, QueueUnavailable, RecordCorrupt
from services.jobs.ledger.decisions import decision_of, finished
from services.jobs.ledger.entries import AuditEvent, Note
from services.jobs.ledger.heads import Heads, running_trail
from services.jobs.ledger.retention import retire_daily
from services.jobs.ledger.trail import AuditTrail
from services.jobs.settings import AuditSettings

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 0.3
_FILMS_AT_ONCE: Final = 500
_LEASE_MS: Final = 10_000  # longer than a sync of a busy disk takes
_PATIENCE_SECONDS: Final = 5.0
_LAST_DRAIN_SECONDS: Final = 3.0


class LedgerOutbox:
    """Leases decisions, appends them with one sync, then takes them off the outbox."""

    def __init__(self, redis: Redis, trail: AuditTrail, *, lease_ms: int = _LEASE_MS) -> None:
        self._trail = trail
        self._lease_ms = lease_ms
        self._lease = redis.register_script(lua.source("ledger_lease"))
        self._written = redis.register_script(lua.source("ledger_written"))

    async def drain(self) -> int:
        """Write every decision that is due; return how many.

        Raises
        ------
        QueueUnavailable
            If Redis does not answer; what was written until then may be written once more, which does no harm.
        LedgerUnavailable
            If the disk does not take them; they stay in the outbox and come again when their lease is over.
        """
        total = 0
        while True:
            async with bounded(_PATIENCE_SECONDS):
                leased = await self._lease(keys=[keys.LEDGER_DUE], args=[_FILMS_AT_ONCE, self._lease_ms])
            if leased:
                await self._write(leased)
            total += len(leased)
            if len(leased) < _FILMS_AT_ONCE:
                return total

    async def run(self) -> None:
        """Drain for ever; where Redis or the disk is away, go on when they are back."""
        while True:
            try:
                await self.drain()
            except (QueueUnavailable, LedgerUnavailable) as error:
                logger.debug("outbox waits", extra={"action": "ledger_waits", "code": error.code})
            await asyncio.sleep(EVERY_SECONDS)

    async def _write(self, leased: list[list[Any]]) -> None:
        notes = [note for member, *fields in leased for note in _notes(member, fields)]
        file, head = await asyncio.wrap_future(self._trail.append(notes))
        done = [part for member, *fields in leased for part in (member, fields[2])]
        async with bounded(_PATIENCE_SECONDS):
            await self._written(keys=[keys.LEDGER_DUE], args=[file, head.seq, head.digest, *done])


@dataclass(frozen=True, kw_only=True)
class RunningLedger:
    """The trail of a worker, and what is to run beside the worker's films."""

    trail: AuditTrail
    outbox: LedgerOutbox
    heads: Heads
    keep: timedelta

    def steps(self) -> Iterator[Coroutine[None, None, None]]:
        """Yield the coroutines to run, for ever; what ends one of them is no outage, and ends the worker."""
        yield self.outbox.run()
        yield retire_daily(self.trail, self.heads, self.keep)


@asynccontextmanager
async def running_ledger(redis: Redis, settings: AuditSettings, service: str) -> AsyncIterator[RunningLedger]:
    """Keep a trail while the block runs, and empty the outbox into it at its end."""
    trail = AuditTrail(settings.directory, service)
    outbox = LedgerOutbox(redis, trail)
    async with running_trail(trail, redis):
        keep = timedelta(days=settings.retention_days)
        yield RunningLedger(trail=trail, outbox=outbox, heads=Heads(redis), keep=keep)
        try:
            async with asyncio.timeout(_LAST_DRAIN_SECONDS):
                await outbox.drain()
        except (QueueUnavailable, LedgerUnavailable, TimeoutError):
            logger.warning("outbox not emptied", extra={"action": "ledger_not_emptied"})


def _notes(member: str, fields: list[Any]) -> list[Note]:
    try:
        decision = decision_of(fields)
    except RecordCorrupt as error:
        # Written without its decision, because one damaged film must not keep its neighbours out of the trail.
        film_id = member.partition(":")[0]
        logger.error("a decision cannot be read", extra={"action": "decision_unreadable", "job_id": film_id})
        return [Note(event=AuditEvent.FINISHED, is_success=False, facts={"film": film_id, "code": error.code})]
    if decision.result.reason is not Reason.PAYLOAD_DIGEST:
        return [finished(decision)]
    alert = {"film": decision.job.id, "site": decision.job.site, "code": Reason.PAYLOAD_DIGEST}
    return [finished(decision), Note(event=AuditEvent.ALERT, is_success=False, facts=alert)]
