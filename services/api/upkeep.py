"""What must happen even where every worker is dead: no film stays open beyond its deadline, none is forgotten.

Workers do the same, and more often; several processes at it do no harm. Must not know requests.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

from services.jobs.errors import JobsError
from services.jobs.limits import Deadlines
from services.jobs.queue import JobQueue

logger = logging.getLogger(__name__)

# Replicas that start together do not go on together.
_JITTER: Final = 0.25
# Comparing looks at every payload: with a large spool it may take this part of the time, and no more.
_COMPARING_SHARE: Final = 0.05


class GatewayUpkeep:
    """Ends films past their deadline, and counts open ones; compares queue and spool while no live worker does it.

    Parameters
    ----------
    compare
        Reconciles queue and spool.
    every_seconds
        Between two rounds, on average.
    """

    def __init__(
        self,
        queue: JobQueue,
        *,
        deadlines: Deadlines,
        compare: Callable[[], Awaitable[object]],
        every_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._deadlines = deadlines
        self._compare = compare
        self._every_seconds = every_seconds
        self._clock = clock
        self._compare_not_before = clock()

    async def run(self) -> None:
        """Go round for ever; what fails is tried in the next round."""
        while True:
            await asyncio.sleep(self._every_seconds * random.uniform(1 - _JITTER, 1 + _JITTER))
            try:
                await self.go_round()
            except JobsError as error:
                logger.warning("upkeep failed", extra={"action": "upkeep_failed", "code": error.code})

    async def go_round(self) -> None:
        """Do it once.

        Raises
        ------
        QueueUnavailable, SpoolUnavailable
            Where either does not answer.
        """
        expired = await self._queue.expire(self._deadlines)
        if expired:
            logger.warning("films ended by their deadline", extra={"action": "films_expired", "count": expired})
        await self._queue.recount()
        if await self._queue.workers() or self._clock() < self._compare_not_before:
            return
        started = self._clock()
        await self._compare()
        ended = self._clock()
        self._compare_not_before = ended + (ended - started) / _COMPARING_SHARE
