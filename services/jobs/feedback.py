"""Readers' feedback, as a gateway holds it: what settles is counted, what is said kept, what both amount to told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

from redis.asyncio import Redis

from services.jobs.assessments import Assessments
from services.jobs.blind import SettledStudies
from services.jobs.errors import JobsError
from services.jobs.queue import JobQueue
from services.jobs.settings import ApiSettings
from services.jobs.standings import Draw
from services.jobs.tallies import Tallies
from services.jobs.worklist import Worklist

logger = logging.getLogger(__name__)

_FORGET_EVERY_SECONDS: Final = 3600.0


class Feedback:
    """The three parts, and what has to run beside requests."""

    def __init__(self, redis: Redis, queue: JobQueue, worklist: Worklist, settings: ApiSettings) -> None:
        self.settled = SettledStudies(redis, queue, Draw(seed=settings.blind_seed, share=settings.blind_share))
        self.assessments = Assessments(redis, queue, worklist, self.settled)
        self.tallies = Tallies(redis)

    def steps(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what runs beside requests, for ever: what settles is counted and drawn, what is old forgotten."""
        return {"settled studies": self.settled.run(), "old counts": self._forget()}

    async def _forget(self) -> None:
        while True:
            with _survives():
                await self.tallies.forget_old()
            await asyncio.sleep(_FORGET_EVERY_SECONDS)


@contextmanager
def _survives() -> Iterator[None]:
    try:
        yield
    except JobsError as error:
        logger.warning("old counts stay", extra={"action": "tallies_not_forgotten", "code": error.code})
