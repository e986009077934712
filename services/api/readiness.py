"""Whether a film that is sent now can be accepted durably. Does not ask whether anybody is there to score it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from services.api.errors import NotReconciled
from services.jobs.errors import JobsError
from services.jobs.queue import JobQueue
from services.jobs.reconcile import UNCLAIMED_SECONDS
from services.jobs.spool import Spool

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 2.0


class Readiness:
    """Checks Redis and spool on demand; compares the two at start, and again whenever Redis may have forgotten.

    Parameters
    ----------
    compare
        Reconciles queue and spool; may be called again at any time.
    """

    def __init__(
        self,
        queue: JobQueue,
        spool: Spool,
        *,
        compare: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._spool = spool
        self._compare = compare
        self._clock = clock
        self._compared_with: str | None = None
        self._once_more_at: float | None = None
        self._trouble: str | None = None

    async def keep_reconciled(self) -> None:
        """Look for ever whether Redis is still the one that was compared with the spool.

        It is not after a restart (which may have cut its tail off), a failover, or a FLUSHALL. Films are accepted
        meanwhile all the same: they are durable, and reconciling does not mind them.
        """
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Compare queue and spool if Redis is another one than last time; what fails is tried at the next look."""
        try:
            identity = await self._queue.identity()
            if identity != self._compared_with:
                self._compared_with = None
                await self._compare()
                self._compared_with = identity
                # Payloads that were too young to be judged, because their submit could still have been on its way.
                self._once_more_at = self._clock() + UNCLAIMED_SECONDS
            elif self._once_more_at is not None and self._clock() >= self._once_more_at:
                await self._compare()
                self._once_more_at = None
        except JobsError as error:
            self._note(error.code)
        else:
            self._note(None)

    async def check(self) -> None:
        """Return if a film could be accepted now.

        Raises
        ------
        QueueUnavailable, QueueUnsafe
            If Redis does not answer, or could lose what it acknowledges.
        SpoolFull, SpoolUnavailable
            If a payload could not be written.
        NotReconciled
            If this process has not compared the spool with Redis as it is now.
        """
        await self._queue.check_durability()
        await asyncio.to_thread(self._spool.probe)
        if self._compared_with is None or await self._queue.identity() != self._compared_with:
            raise NotReconciled("Queue and spool are being compared; repeat after Retry-After seconds.")

    def _note(self, trouble: str | None) -> None:
        """Log what keeps the two from being compared, once."""
        if trouble is not None and trouble != self._trouble:
            logger.warning("reconcile failed", extra={"action": "reconcile_failed", "code": trouble})
        self._trouble = trouble
