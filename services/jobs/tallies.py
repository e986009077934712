"""From what is kept in Redis to the cells that figures are made of: who decided what, and what became of it.

A study counts once, under the decision that it has now; its truth is one of its present films, or none. Reads only,
but for what is past its retention.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError
from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.connection import bounded
from services.jobs.errors import RecordCorrupt
from services.jobs.performance import Cell, Reading
from services.jobs.standings import Counted, CountedTruth, Decider, Standing, StandingRecord, TallyField

logger = logging.getLogger(__name__)

KEPT_DAYS: Final = 400  # a year and a month; ASSESSED_SECONDS of readings.lua
_PATIENCE_SECONDS: Final = 5.0
_AT_ONCE: Final = 500


@dataclass(frozen=True, kw_only=True)
class Group:
    """The studies of a site that one model and one policy decided; ``decider`` is empty where several did."""

    site: str
    decider: Decider
    first_day: date
    last_day: date
    cell: Cell


@dataclass
class _Day:
    """What was counted and read of one group on one day."""

    counted: dict[Counted, int] = field(default_factory=lambda: defaultdict(int))
    of_flagged: list[Reading] = field(default_factory=list)
    blind: list[Reading] = field(default_factory=list)
    volunteered: int = 0
    outdated: int = 0

    def cell(self) -> Cell:
        """Return the day's cell. Readings of more studies than were counted have lost their count, and stand apart."""
        has_flagged = len(self.of_flagged) <= self.counted[Counted.FLAGGED]
        has_blind = len(self.blind) <= self.counted[Counted.NOT_FLAGGED]
        lost = (0 if has_flagged else len(self.of_flagged)) + (0 if has_blind else len(self.blind))
        return Cell(
            flagged=self.counted[Counted.FLAGGED],
            not_flagged=self.counted[Counted.NOT_FLAGGED],
            not_assessed=self.counted[Counted.NOT_ASSESSED],
            drawn=self.counted[Counted.DRAWN],
            of_flagged=tuple(self.of_flagged) if has_flagged else (),
            blind=tuple(self.blind) if has_blind else (),
            volunteered=self.volunteered,
            outdated=self.outdated + lost,
        )


_Days = dict[tuple[Decider, date], _Day]


class Tallies:
    """Reads what was counted. Raises ``QueueUnavailable`` where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def groups(self, sites: Sequence[str] | None, *, since: date | None, until: date | None) -> list[Group]:
        """Return the groups of these sites (all where ``None``), by site, those that decided last first."""
        groups: list[Group] = []
        for site in await self._sites(sites):
            async with bounded(_PATIENCE_SECONDS):
                counted: Any = await self._redis.hgetall(keys.tally(site))
                truths: Any = await self._redis.hgetall(keys.truths(site))
            # Off the loop: a site that assesses everything has tens of thousands.
            groups += await asyncio.to_thread(_groups, site, counted, truths, since, until)
        return groups

    async def forget_old(self, today: date | None = None) -> int:
        """Remove what is older than 400 days; return how many entries."""
        before = (today or datetime.now(UTC).date()) - timedelta(days=KEPT_DAYS)
        forgotten = 0
        for site in await self._sites(None):
            async with bounded(_PATIENCE_SECONDS):
                counted: Any = await self._redis.hgetall(keys.tally(site))
                truths: Any = await self._redis.hgetall(keys.truths(site))
            old = await asyncio.to_thread(_old, counted, truths, before)
            for key, fields in zip((keys.tally(site), keys.truths(site)), old, strict=True):
                for at in range(0, len(fields), _AT_ONCE):
                    async with bounded(_PATIENCE_SECONDS):
                        await self._redis.hdel(key, *fields[at : at + _AT_ONCE])
                forgotten += len(fields)
        return forgotten

    async def _sites(self, named: Sequence[str] | None) -> Sequence[str]:
        if named is not None:
            return named
        async with bounded(_PATIENCE_SECONDS):
            known: Any = await self._redis.smembers(keys.SITES)
        return sorted(known)


def _groups(
    site: str, counted: dict[str, str], truths: dict[str, str], since: date | None, until: date | None
) -> list[Group]:
    days: _Days = defaultdict(_Day)
    for name, studies in counted.items():
        of = _field(name)
        days[of.decider, of.day].counted[of.counted] += int(studies)
    for standing, blind, seen in _assessed(truths):
        if standing.standing.is_scored:
            _count(days[standing.decider, standing.day], standing, blind, seen)
    wanted = {
        key: day
        for key, day in days.items()
        if (since is None or key[1] >= since) and (until is None or key[1] <= until)
    }
    deciders = {decider for decider, _ in wanted}
    groups = [
        _group(site, decider, {day: of for (who, day), of in wanted.items() if who == decider}) for decider in deciders
    ]
    return sorted(groups, key=lambda group: (group.last_day, group.decider.model_dump_json()), reverse=True)


def _group(site: str, decider: Decider, days: dict[date, _Day]) -> Group:
    return Group(
        site=site,
        decider=decider,
        first_day=min(days),
        last_day=max(days),
        cell=total([day.cell() for day in days.values()]),
    )


def total(cells: Iterable[Cell]) -> Cell:
    """Return the studies and readings of several cells as those of one."""
    cells = list(cells)
    return Cell(
        flagged=sum(cell.flagged for cell in cells),
        not_flagged=sum(cell.not_flagged for cell in cells),
        not_assessed=sum(cell.not_assessed for cell in cells),
        drawn=sum(cell.drawn for cell in cells),
        of_flagged=tuple(reading for cell in cells for reading in cell.of_flagged),
        blind=tuple(reading for cell in cells for reading in cell.blind),
        volunteered=sum(cell.volunteered for cell in cells),
        outdated=sum(cell.outdated for cell in cells),
    )


def _count(day: _Day, standing: StandingRecord, blind: CountedTruth | None, seen: CountedTruth | None) -> None:
    """Enter a study's truth. What was said blind stands before everything that was said with the outcome in view."""
    truth = blind or seen
    if truth is None or not standing.counted:
        day.outdated += 1
    elif standing.standing is Standing.FLAGGED:
        day.of_flagged.append(Reading(truth=truth.truth))
    elif blind is not None and standing.share:
        day.blind.append(Reading(truth=blind.truth, share=standing.share))
    else:
        day.volunteered += 1


def _assessed(truths: dict[str, str]) -> Iterator[tuple[StandingRecord, CountedTruth | None, CountedTruth | None]]:
    """Yield each assessed study's standing, and what was said of its present films, blind and otherwise."""
    for name, text in truths.items():
        part, _, study_uid = name.partition("|")
        if part != "standing":
            continue
        try:
            standing = StandingRecord.model_validate_json(text)
            blind, seen = (_said(truths.get(f"{way}|{study_uid}"), standing.films) for way in ("blind", "open"))
        except ValidationError as error:
            raise RecordCorrupt("a stored assessment cannot be read") from error
        yield standing, blind, seen


def _said(text: str | None, films: str) -> CountedTruth | None:
    said = None if text is None else CountedTruth.model_validate_json(text)
    return said if said is not None and said.films == films else None


def _field(name: str) -> TallyField:
    try:
        return TallyField.model_validate_json(name)
    except ValidationError as error:
        raise RecordCorrupt("a count of studies cannot be read") from error


def _old(counted: dict[str, str], truths: dict[str, str], before: date) -> tuple[list[str], list[str]]:
    days = [name for name in counted if _field(name).day < before]
    studies = [
        name.partition("|")[2]
        for name, text in truths.items()
        if name.startswith("standing|") and StandingRecord.model_validate_json(text).day < before
    ]
    return days, [f"{part}|{study}" for study in studies for part in ("standing", "blind", "open")]
