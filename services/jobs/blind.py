"""Studies that have settled are counted, and a share of them drawn to be read blind: a second after their last film.

The scripts name what has settled; a gateway looks at each, says what it counts as, and draws. Any number of gateways
may do so at once, and every step may be repeated. Flagged studies are drawn as the others are: a list of studies that
are all not flagged would not be blind. Place in the walk: behind it; no film waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from redis.asyncio import Redis

from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.errors import JobsError, RecordCorrupt
from services.jobs.queue import JobQueue
from services.jobs.records import Priority, Record
from services.jobs.standings import Draw, SettledStudy, StandingRecord, standing_of
from services.jobs.worklist import RollUp

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 1.0
# Each takes a connection for a moment; requests get their turn between them.
_AT_ONCE: Final = 20
_PATIENCE_SECONDS: Final = 5.0
_LATE: Final = 1  # below any number that a script gives


@dataclass(frozen=True, kw_only=True)
class _Settled:
    """A study that is to be counted; ``number`` tells whether it has settled again since."""

    site: str
    study_uid: str
    number: str
    rollup: RollUp | None = None
    is_open: bool = False
    film_ids: tuple[str, ...] = ()
    before: StandingRecord | None = None


class SettledStudies:
    """Counts and draws. Every call raises ``QueueUnavailable`` where Redis does not answer; it may be repeated."""

    def __init__(self, redis: Redis, queue: JobQueue, draw: Draw) -> None:
        self._redis = redis
        self._queue = queue
        self._draw = draw
        self._script = redis.register_script(lua.source("standing"))

    @property
    def share(self) -> float:
        """Which share of studies is drawn."""
        return self._draw.share

    async def run(self) -> None:
        """Count what settles, for ever; what fails is tried again."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.count_settled()
            except JobsError as error:
                logger.warning("studies are not counted", extra={"action": "studies_not_counted", "code": error.code})

    async def count_settled(self) -> int:
        """Count every study that has settled; return how many there were."""
        total = 0
        while True:
            async with bounded(_PATIENCE_SECONDS):
                named: Any = await self._redis.zrange(keys.SETTLED, 0, _AT_ONCE - 1, withscores=True)
            await self._count([_named(member, number) for member, number in named])
            total += len(named)
            if len(named) < _AT_ONCE:
                return total

    async def standing(self, site: str, study_uid: str) -> tuple[StandingRecord | None, str]:
        """Return what a study counts as, counted now where it was not, and the text of that; ``None`` of an open one.

        Studies from before there was a count can be assessed, and are in none until they settle again.
        """
        member = f"{site}|{study_uid}"
        async with bounded(_PATIENCE_SECONDS):
            number = await self._redis.zscore(keys.SETTLED, member)
            text: Any = await self._redis.get(keys.standing(site, study_uid))
            if number is None and text is None:
                await self._redis.zadd(keys.SETTLED, {member: _LATE}, nx=True)
                number = _LATE
        if number is not None:
            await self._count([_named(member, number)])
            async with bounded(_PATIENCE_SECONDS):
                text = await self._redis.get(keys.standing(site, study_uid))
        return (None, "") if text is None else (_standing(text), text)

    async def waiting(self, sites: Sequence[str] | None = None) -> dict[str, int]:
        """Return how many studies of each site wait to be read blind; of all sites where none are named."""
        async with bounded(_PATIENCE_SECONDS):
            named: Any = sorted(await self._redis.smembers(keys.SITES)) if sites is None else sites
            pipe = self._redis.pipeline(transaction=False)
            for site in named:
                for priority in Priority:
                    pipe.zcard(keys.worklist(site, priority, "blind"))
            counts = await pipe.execute()
        return {site: counts[2 * at] + counts[2 * at + 1] for at, site in enumerate(named)}

    async def is_waiting(self, site: str, study_uid: str) -> bool:
        """Return whether a study waits to be read blind."""
        async with bounded(_PATIENCE_SECONDS):
            pipe = self._redis.pipeline(transaction=False)
            for priority in Priority:
                pipe.zscore(keys.worklist(site, priority, "blind"), study_uid)
            return any(score is not None for score in await pipe.execute())

    async def _count(self, named: Sequence[_Settled]) -> None:
        studies = await self._look(named)
        records = await self._records(studies)
        await asyncio.gather(*(self._count_one(study, records) for study in studies))

    async def _look(self, named: Sequence[_Settled]) -> list[_Settled]:
        async with bounded(_PATIENCE_SECONDS):
            pipe = self._redis.pipeline(transaction=False)
            for study in named:
                pipe.hmget(keys.study(study.site, study.study_uid), ["class", "pending"])
                pipe.zrange(keys.study_members(study.site, study.study_uid), 0, -1)
                pipe.get(keys.standing(study.site, study.study_uid))
                # What an assessment remembers of a draw, where all else is lost.
                pipe.hget(keys.truths(study.site), f"standing|{study.study_uid}")
            found = await pipe.execute()
        return [_looked_at(study, *found[4 * at : 4 * at + 4]) for at, study in enumerate(named)]

    async def _records(self, studies: Sequence[_Settled]) -> dict[str, Record]:
        film_ids = [film_id for study in studies for film_id in study.film_ids]
        if not film_ids:
            return {}
        try:
            return {record.id: record for record in await self._queue.records(film_ids)}
        except RecordCorrupt:  # one damaged film must not keep its neighbours from being counted
            found: dict[str, Record] = {}
            for film_id in film_ids:
                try:
                    found |= {record.id: record for record in await self._queue.records([film_id])}
                except RecordCorrupt:
                    logger.error("a record cannot be read", extra={"action": "record_unreadable", "job_id": film_id})
            return found

    async def _count_one(self, study: _Settled, records: dict[str, Record]) -> None:
        films = [records[film_id] for film_id in study.film_ids if film_id in records]
        text = ""
        if not study.is_open and len(films) == len(study.film_ids):
            settled = SettledStudy(
                site=study.site,
                study_uid=study.study_uid,
                rollup=study.rollup,
                films=films,
                on=datetime.now(UTC).date(),
                is_late=study.before is None and study.number == str(_LATE),
            )
            text = standing_of(settled, self._draw, study.before).text()
        async with bounded(_PATIENCE_SECONDS):
            await self._script(keys=[keys.SETTLED], args=[study.site, study.study_uid, study.number, text])


def _named(member: str, number: float) -> _Settled:
    site, _, study_uid = member.partition("|")
    return _Settled(site=site, study_uid=study_uid, number=f"{number:.0f}")


def _looked_at(study: _Settled, fields: list[str | None], film_ids: list[str], *standings: str | None) -> _Settled:
    rollup, pending = fields
    standing = standings[0] or standings[1]
    return _Settled(
        site=study.site,
        study_uid=study.study_uid,
        number=study.number,
        rollup=RollUp(rollup) if rollup is not None and film_ids else None,
        is_open=rollup == RollUp.PENDING or int(pending or 0) > 0,
        film_ids=tuple(film_ids),
        before=None if standing is None else _standing(standing),
    )


def _standing(text: str) -> StandingRecord:
    try:
        return StandingRecord.model_validate_json(text)
    except ValueError as error:
        raise RecordCorrupt("a study's standing cannot be read") from error
