"""A site's films that were scored last: what another threshold is tried out on before it decides.

The scripts that end films keep their ids, by when they ended. Reads only, and decides nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.connection import bounded
from services.jobs.errors import RecordCorrupt
from services.jobs.stored import Result, load_result

logger = logging.getLogger(__name__)

_PAGE: Final = 500
_FIELDS: Final = ("state", "study", "result", "done_ms")


@dataclass(frozen=True, kw_only=True)
class RecentFilm:
    """A film as it was scored and decided."""

    id: str
    study_uid: str
    probability: float
    threshold: float
    is_flagged: bool
    done_ms: int


class RecentFilms:
    """Looks at films that records still tell of. Raises ``QueueUnavailable`` where Redis does not answer."""

    def __init__(self, redis: Redis, *, patience_seconds: float | None = 5.0) -> None:
        self._redis = redis
        self._patience_seconds = patience_seconds

    async def sites(self) -> frozenset[str]:
        """Return the sites that have studies."""
        async with bounded(self._patience_seconds):
            found: Any = await self._redis.smembers(keys.SITES)
        return frozenset(found)

    async def last(self, site: str, digest: str, count: int) -> tuple[RecentFilm, ...]:
        """Return the last ``count`` films that this model scored at this site, the latest first; fewer where there are.

        What is being scored again, was withdrawn, has expired or cannot be read is not among them.
        """
        found: dict[str, RecentFilm] = {}  # by id: films that end meanwhile shift the pages
        offset = 0
        while len(found) < count:
            page = await self._page(site, offset)
            films = (_film(film_id, fields, digest) for film_id, fields in page)
            found |= {film.id: film for film in films if film is not None}
            offset += len(page)
            if len(page) < _PAGE:
                break
        return tuple(islice(found.values(), count))

    async def _page(self, site: str, offset: int) -> list[tuple[str, Any]]:
        async with bounded(self._patience_seconds):
            ids: Any = await self._redis.zrevrange(keys.recent(site), offset, offset + _PAGE - 1)
            pipe = self._redis.pipeline(transaction=False)
            for film_id in ids:
                pipe.hmget(keys.instance(film_id), list(_FIELDS))
            return list(zip(ids, await pipe.execute(), strict=True))


def _film(film_id: str, fields: list[str | None], digest: str) -> RecentFilm | None:
    state, study_uid, text, done_ms = fields
    if state != "done" or study_uid is None or done_ms is None:
        return None
    try:
        result = load_result(text)
    except RecordCorrupt:
        logger.error("a film's result cannot be read", extra={"action": "record_unreadable", "job_id": film_id})
        return None
    if not _is_scored_by(result, digest):
        return None
    assert result.probability is not None
    assert result.threshold is not None
    return RecentFilm(
        id=film_id,
        study_uid=study_uid,
        probability=result.probability,
        threshold=result.threshold,
        is_flagged=result.outcome == "flagged",
        done_ms=int(done_ms),
    )


def _is_scored_by(result: Result, digest: str) -> bool:
    return (
        result.outcome.is_scored
        and result.model is not None
        and result.model.digest == digest
        and result.probability is not None
        and result.threshold is not None
    )
