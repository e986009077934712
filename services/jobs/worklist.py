"""The worklist: studies in the order in which they should be read. Read side; the scripts keep the index.

Order (DESIGN §6): stat before routine; within each flagged, then not_assessed and overdue, then pending, then
not_flagged; oldest first; study_uid breaks ties. ``overdue`` needs no write: an open study is overdue by its age,
which is that of its oldest film.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import Redis

from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.errors import RecordCorrupt, StudyNotFound
from services.jobs.limits import QueueLimits
from services.jobs.records import Priority, moment

MAX_LIMIT = 500
_BLIND = "blind"  # beside the roll-ups' in the index: readings.lua keeps it


class RollUp(StrEnum):
    """What a study amounts to: flagged > not_assessed > pending > not_flagged."""

    FLAGGED = "flagged"
    NOT_ASSESSED = "not_assessed"
    PENDING = "pending"
    NOT_FLAGGED = "not_flagged"


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """One line of the worklist. ``films`` counts every film of the study; ``unread`` those that are not assessed."""

    study_uid: str
    site: str
    priority: Priority
    outcome: RollUp
    overdue: bool
    submitted_at: datetime
    updated_at: datetime
    films: int
    pending: int
    unread: int


@dataclass(frozen=True, kw_only=True)
class WorklistPage:
    """``next_cursor`` continues after the last study; ``complete`` says that nothing follows."""

    studies: tuple[StudySummary, ...]
    next_cursor: str | None
    complete: bool


@dataclass(frozen=True, kw_only=True)
class WorklistFilter:
    """What a caller wants to see; ``None`` means all. ``sites`` is what the caller may see.

    ``is_blind`` wants the studies that wait to be read without their outcome, and those alone.
    """

    sites: tuple[str, ...] | None = None
    outcome: RollUp | None = None
    priority: Priority | None = None
    since: datetime | None = None
    is_blind: bool = False


class Worklist:
    """Reads pages, studies and the revision that makes conditional requests cheap."""

    def __init__(
        self, redis: Redis, *, limits: QueueLimits | None = None, patience_seconds: float | None = 5.0
    ) -> None:
        self._redis = redis
        self._limits = limits or QueueLimits()
        self._patience_seconds = patience_seconds
        self._page_script = redis.register_script(lua.source("page"))
        self._revision_script = redis.register_script(lua.source("revision"))

    async def revision(self) -> str:
        """Return a token that changes whenever any page could: a film came, ended, or a study became overdue.

        Between two changes of the index studies only become overdue, never the reverse; so counting them suffices.
        """
        cutoff = self._cutoffs(_now_ms())
        async with bounded(self._patience_seconds):
            revision, overdue = await self._revision_script(
                keys=[keys.OPEN], args=[cutoff[Priority.STAT], cutoff[Priority.ROUTINE]]
            )
        return f"{revision or 0}-{overdue}"

    async def page(self, wanted: WorklistFilter, *, cursor: str | None, limit: int) -> WorklistPage:
        """Return up to ``limit`` (1..500) studies after ``cursor``.

        What is overdue is decided once per walk through the pages, so that no study moves across the cursor by age.

        Raises
        ------
        ValueError
            If ``cursor`` is not one that this method returned, or ``limit`` is out of range.
        QueueUnavailable
            If Redis does not answer; never an empty page instead.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise ValueError(f"a page has 1 to {MAX_LIMIT} studies")
        position = _Position.read(cursor) if cursor is not None else None
        now_ms = _now_ms()
        as_of_ms = position.as_of_ms if position else now_ms
        segments = _segments(wanted, self._cutoffs(as_of_ms))
        query = {"limit": limit + 1, "segments": segments}
        if wanted.sites is not None:
            query["sites"] = list(wanted.sites)
        if position:
            if position.segment > len(segments):
                raise ValueError("not a cursor of the worklist")
            query["after"] = {
                "segment": position.segment,
                "score": position.submitted_ms,
                "study": position.study_uid,
                "site": position.site,
            }
        async with bounded(self._patience_seconds):
            rows = await self._page_script(keys=[keys.OPEN], args=[json.dumps(query)])
        return self._assemble(rows, limit=limit, as_of_ms=as_of_ms, now_ms=now_ms)

    def _assemble(self, rows: Sequence[list[Any]], *, limit: int, as_of_ms: int, now_ms: int) -> WorklistPage:
        shown = rows[:limit]
        studies = tuple(self._summary(site, study, fields, now_ms) for _, _, site, study, *fields in shown)
        if len(rows) <= limit:
            return WorklistPage(studies=studies, next_cursor=None, complete=True)
        segment, score, site, study, *_ = shown[-1]
        last = _Position(as_of_ms=as_of_ms, segment=segment, submitted_ms=int(score), study_uid=study, site=site)
        return WorklistPage(studies=studies, next_cursor=last.cursor(), complete=False)

    async def study(self, site: str, study_uid: str) -> tuple[StudySummary, tuple[str, ...]]:
        """Return a study's line and the ids of its films, oldest first; raise ``StudyNotFound``."""
        async with bounded(self._patience_seconds):
            pipe = self._redis.pipeline()
            pipe.hmget(keys.study(site, study_uid), list(_STUDY_FIELDS))
            pipe.zrange(keys.study_members(site, study_uid), 0, -1)
            fields, film_ids = await pipe.execute()
        if not film_ids:
            raise StudyNotFound("no such study")
        return self._summary(site, study_uid, fields, _now_ms()), tuple(film_ids)

    def _cutoffs(self, now_ms: int) -> dict[Priority, int]:
        """Return, per priority, the moment before which a study that is still open is overdue."""
        return {priority: now_ms - self._limits.overdue_ms(priority) - 1 for priority in Priority}

    def _summary(self, site: str, study_uid: str, fields: Sequence[str | None], now_ms: int) -> StudySummary:
        try:
            priority, outcome, submitted, updated, films, pending, unread = fields
            submitted_ms, films_pending = int(submitted or ""), int(pending or "")
            return StudySummary(
                study_uid=study_uid,
                site=site,
                priority=Priority(priority or ""),
                outcome=RollUp(outcome or ""),
                overdue=films_pending > 0 and submitted_ms <= self._cutoffs(now_ms)[Priority(priority or "")],
                submitted_at=moment(submitted_ms),
                updated_at=moment(int(updated or "")),
                films=int(films or ""),
                pending=films_pending,
                unread=int(unread or 0),
            )
        except ValueError as error:
            raise RecordCorrupt("a stored study cannot be read") from error


# Of the study's hash; ``unread`` is absent until a film of it ends so. page.lua reads the same.
_STUDY_FIELDS = ("priority", "class", "submitted_ms", "updated_ms", "films", "pending", "unread")


# Beyond this Lua and Redis count in steps of more than one.
_Milliseconds = Annotated[int, Field(ge=0, le=2**53)]


class _Position(BaseModel):
    """Where a page ended: segment of the order, then the sort key within it; and as of when studies are overdue."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    as_of_ms: _Milliseconds
    segment: int = Field(ge=1)
    submitted_ms: _Milliseconds
    study_uid: str
    site: str

    def cursor(self) -> str:
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @staticmethod
    def read(cursor: str) -> _Position:
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            return _Position.model_validate_json(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (binascii.Error, ValidationError, ValueError) as error:
            raise ValueError("not a cursor of the worklist") from error


def _segments(wanted: WorklistFilter, cutoffs: dict[Priority, int]) -> list[dict[str, object]]:
    """Return the reading order as ranges of the index; what is filtered out leaves its segment empty."""
    since_ms = int(wanted.since.timestamp() * 1000) if wanted.since is not None else None
    since = str(since_ms) if since_ms is not None else "-inf"
    segments: list[dict[str, object]] = []
    for priority in Priority:
        cutoff = cutoffs[priority]
        young = since if since_ms is not None and since_ms > cutoff else f"({cutoff}"
        order: list[list[tuple[RollUp, str, str]]] = [
            [(RollUp.FLAGGED, since, "+inf")],
            [(RollUp.NOT_ASSESSED, since, "+inf"), (RollUp.PENDING, since, str(cutoff))],
            [(RollUp.PENDING, young, "+inf")],
            [(RollUp.NOT_FLAGGED, since, "+inf")],
        ]
        is_wanted = wanted.priority in (None, priority)
        if wanted.is_blind:
            blind = {"class": _BLIND, "low": since, "high": "+inf"}
            segments.append({"priority": priority, "sources": [blind] if is_wanted else []})
            continue
        for sources in order:
            chosen = [
                {"class": rollup, "low": low, "high": high}
                for rollup, low, high in sources
                if is_wanted and wanted.outcome in (None, rollup)
            ]
            segments.append({"priority": priority, "sources": chosen})
    return segments


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
