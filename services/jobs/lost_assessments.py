"""Assessments that Redis has lost, given back as somebody else remembers them. Must not know files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from redis.asyncio import Redis

from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.standings import Assessment, StandingRecord

ASSESSED_LIVE: Final = timedelta(days=400)  # ASSESSED_SECONDS of readings.lua
_PATIENCE_SECONDS: Final = 10.0


class LostAssessments:
    """Every call raises ``QueueUnavailable`` where Redis does not answer, and may be repeated."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(lua.source("assessed"))

    async def is_known(self) -> bool:
        """Return whether Redis has been told of every assessment; one that has lost everything has not."""
        async with bounded(_PATIENCE_SECONDS):
            return bool(await self._redis.exists(keys.ASSESSMENTS_KNOWN))

    async def note_known(self) -> None:
        """Note that Redis has been told of every assessment."""
        async with bounded(_PATIENCE_SECONDS):
            await self._redis.set(keys.ASSESSMENTS_KNOWN, "1")

    async def give_back(self, remembered: Iterable[tuple[Assessment, StandingRecord]]) -> int:
        """Keep these, in their order, where they are not known; return how many were not."""
        given = 0
        for assessment, standing in remembered:
            async with bounded(_PATIENCE_SECONDS):
                given += await self._script(
                    keys=[keys.SETTLED],
                    args=[assessment.site, assessment.study_uid, assessment.text(), standing.text()],
                )
        return given
