"""Whether a film that is sent now can be accepted durably. Does not ask whether anybody is there to score it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from services.api.errors import NotReconciled
from services.jobs.errors import JobsError
from services.jobs.queue import JobQueue
from services.jobs.reconcile import reconcile
from services.jobs.spool import Spool

logger = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 1.0


class Readiness:
    """Checks Redis and spool on demand, and compares the two once at start."""

    def __init__(self, queue: JobQueue, spool: Spool) -> None:
        self._queue = queue
        self._spool = spool
        self._is_reconciled = False

    async def reconcile_at_start(self) -> None:
        """Reconcile queue and spool; tried again until it has succeeded once. Workers go on with it later."""
        while not self._is_reconciled:
            try:
                await reconcile(self._queue, self._spool)
            except JobsError as error:
                logger.warning("reconcile failed", extra={"action": "reconcile_failed", "code": error.code})
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._is_reconciled = True

    async def check(self) -> None:
        """Return if a film could be accepted now.

        Raises
        ------
        QueueUnavailable, QueueUnsafe
            If Redis does not answer, or could lose what it acknowledges.
        SpoolFull, SpoolUnavailable
            If a payload could not be written.
        NotReconciled
            If this process has not compared queue and spool yet.
        """
        await self._queue.check_durability()
        await asyncio.to_thread(self._probe_spool)
        if not self._is_reconciled:
            raise NotReconciled("Queue and spool are being compared after a start; repeat after Retry-After seconds.")

    def _probe_spool(self) -> None:
        self._spool.begin().discard()
