"""What a worker does now and then beside its films; any worker suffices for the queue, several do no harm.

Owns when, not what: the steps are the queue's. Must not know films.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from typing import Final

from services.jobs.errors import QueueUnavailable, SpoolUnavailable
from services.jobs.queue import JobQueue
from services.jobs.reconcile import reconcile
from services.jobs.settings import WorkerSettings
from services.jobs.spool import Spool
from services.jobs.status import WorkerStatus
from services.worker.heartbeat import Watchdog
from services.worker.probes import Readiness

logger = logging.getLogger(__name__)

_EVERY_SECOND: Final = 1.0


@dataclass(frozen=True)
class Upkeep:
    """Promotes retries, reconciles queue and spool, says that this worker lives, and that its event loop turns."""

    queue: JobQueue
    spool: Spool
    _: KW_ONLY
    status: WorkerStatus
    readiness: Readiness
    watchdog: Watchdog
    settings: WorkerSettings

    async def wait_for_redis(self, stop: asyncio.Event) -> bool:
        """Reconcile as soon as Redis answers; return False where a stop came first."""
        while not stop.is_set():
            try:
                await self._announce()
                await self._reconcile()
            except QueueUnavailable:
                self.readiness.set_queue_reachable(False)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_EVERY_SECOND):
                        await stop.wait()
            else:
                return True
        return False

    def steps(self) -> Iterator[Coroutine[None, None, None]]:
        """Yield the coroutines to run beside the consumer, for ever."""
        yield self._repeat(self._tick, _EVERY_SECOND)
        yield self._repeat(self.queue.promote, _EVERY_SECOND)
        yield self._repeat(self._announce, self.settings.heartbeat_seconds)
        yield self._repeat(self._reconcile, self.settings.reconcile_seconds)

    async def _repeat(self, step: Callable[[], Awaitable[object]], every_seconds: float) -> None:
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await step()
            except QueueUnavailable:
                self.readiness.set_queue_reachable(False)
            except SpoolUnavailable as error:
                logger.warning("spool unavailable", extra={"action": "spool_unavailable", "code": error.code})

    async def _tick(self) -> None:
        self.watchdog.tick("event loop")

    async def _announce(self) -> None:
        await self.queue.announce(self.status)
        self.readiness.set_queue_reachable(True)

    async def _reconcile(self) -> None:
        await reconcile(self.queue, self.spool, deadline_seconds=self.settings.deadline_seconds)
