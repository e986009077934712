"""What a worker does now and then beside its films; any worker suffices for the queue, several do no harm.

Owns when, not what: the steps are the queue's. Must not know films.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from typing import Final, Protocol

from services.jobs.errors import QueueUnavailable, SpoolUnavailable
from services.jobs.probes import Readiness
from services.jobs.queue import JobQueue
from services.jobs.settings import WorkerSettings
from services.jobs.status import WorkerStatus
from services.worker.following import BundleFollower
from services.worker.heartbeat import Watchdog
from services.worker.policies import PolicyFollower

logger = logging.getLogger(__name__)

_EVERY_SECOND: Final = 1.0
# The shortest wait before another attempt is a second; it is to be kept, not doubled.
_PROMOTE_SECONDS: Final = 0.1
_FOLLOW_SECONDS: Final = 0.5


class Compare(Protocol):
    """``services.jobs.reconcile.reconcile`` with everything but the moment decided."""

    def __call__(self, *, is_start: bool = False) -> Awaitable[object]:
        """Compare queue, spool and ledger, and mend what differs."""


@dataclass(frozen=True)
class Upkeep:
    """Promotes retries, reconciles queue and spool, follows bundle and policies, says that this worker lives.

    Also that its event loop turns.
    """

    queue: JobQueue
    _: KW_ONLY
    compare: Compare
    follower: BundleFollower
    policies: PolicyFollower
    status: Callable[[], WorkerStatus]
    readiness: Readiness
    watchdog: Watchdog
    settings: WorkerSettings

    async def wait_for_redis(self, stop: asyncio.Event) -> bool:
        """Load the active bundle and reconcile as soon as Redis answers; return False where a stop came first.

        Raises
        ------
        ModelError
            If the active bundle cannot be served here.
        """
        while not stop.is_set():
            try:
                await self._begin()
                await self.compare(is_start=True)
                # Again: who activated a bundle before this worker was announced has not waited for it.
                await self._begin()
            except QueueUnavailable:
                self.readiness.set_queue_reachable(False)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_EVERY_SECOND):
                        await stop.wait()
            else:
                return True
        return False

    async def _begin(self) -> None:
        await self.follower.begin()
        await self.policies.step()
        await self._announce()

    def steps(self) -> Iterator[Coroutine[None, None, None]]:
        """Yield the coroutines to run beside the consumer, for ever."""
        yield self._repeat(self._tick, _EVERY_SECOND)
        yield self._repeat(self.queue.promote, _PROMOTE_SECONDS)
        yield self._repeat(self._follow, _FOLLOW_SECONDS)
        yield self._repeat(self.policies.step, _FOLLOW_SECONDS)
        yield self._repeat(self._announce, self.settings.heartbeat_seconds)
        yield self._repeat(self.compare, self.settings.reconcile_seconds)

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

    async def _follow(self) -> None:
        if await self.follower.step():
            await self._announce()

    async def _announce(self) -> None:
        await self.queue.heal_clock()
        await self.queue.announce(self.status())
        self.readiness.set_queue_reachable(True)
