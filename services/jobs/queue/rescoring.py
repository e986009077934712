"""Films that are scored once more: because an admin wants it, or because they ended by our fault.

The old decision goes into the film's history, where it stays as long as the record. Until the new one is there the film
is queued without outcome, is refused like a submit where there is no room, and counts in its study as what it was, so
that nobody loses a flag by asking. Whoever held the film before decides nothing any more.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from model.errors import Reason
from services.jobs import keys
from services.jobs.errors import FilmWithdrawn, JobNotFound, NotRescorable, RecordCorrupt
from services.jobs.queue.admission import Admission, refuse
from services.jobs.queue.looking import Looking
from services.jobs.queue.scripted import OUR_FAULT
from services.jobs.records import JobState, PastDecision, Record, moment
from services.jobs.stored import load_result, past_decision_of

_WHY_NOT: Final = {
    "open": "it has no outcome yet",
    "gone": "its payload is past retention",
    "other": "it did not end by the service's fault; an admin may have it scored again",
}


@dataclass(frozen=True, kw_only=True)
class DeadFilm:
    """A film that ended ``not_assessed`` by our fault.

    Attributes
    ----------
    entry
        Its place in the list, for ``dead(after=...)``.
    ended_at
        By Redis' clock.
    is_requeueable
        Whether that is still what became of it, and its payload is there.
    """

    entry: str
    film_id: str
    reason: Reason
    ended_at: datetime
    is_requeueable: bool


class Rescoring(Admission, Looking):
    """What an admin or operator does with films that have their outcome."""

    async def rescore(self, film_id: str) -> Record:
        """Queue a finished film once more, and return its record, now without outcome.

        Repeating the call while the film is open changes nothing.

        Raises
        ------
        JobNotFound
            If nobody knows the film.
        NotRescorable
            If it has no outcome yet, or its payload is gone; FilmWithdrawn if it was withdrawn.
        QueueFull, SiteShareUsed
            If a submit of it would be refused now.
        """
        return await self._open_again(film_id, ())

    async def requeue(self, film_id: str) -> Record:
        """Do as ``rescore``, but only with a film that ended by our fault; raise NotRescorable with any other."""
        return await self._open_again(film_id, sorted(OUR_FAULT))

    async def _open_again(self, film_id: str, reasons: Iterable[Reason]) -> Record:
        priority = (await self.record(film_id)).priority
        limits = self._limits_of(priority)
        verdict, *fields = await self._run("rescore", film_id, secrets.token_hex(8), *limits, *reasons)
        if verdict == "unknown":
            raise JobNotFound("no such instance")
        if verdict == "withdrawn":
            raise FilmWithdrawn("it was withdrawn")
        if verdict in _WHY_NOT:
            raise NotRescorable(_WHY_NOT[verdict])
        refuse(verdict)
        return self._record(fields[0])

    async def history(self, film_id: str) -> tuple[PastDecision, ...]:
        """Return the decisions that were replaced, oldest first; nothing for a film that was scored once."""
        entries: list[Any] = await self._ask(self._redis.lrange(keys.history(film_id), 0, -1))
        return tuple(past_decision_of(entry) for entry in entries)

    async def dead(self, *, limit: int, after: str | None = None) -> list[DeadFilm]:
        """Return up to ``limit`` films that ended by our fault, newest first, older than the entry ``after``.

        The list keeps the last 100,000. A film that failed again is in it again; its record tells what it is now.
        """
        newest = "+" if after is None else f"({after}"
        entries: Any = await self._ask(self._redis.xrevrange(keys.DEAD, max=newest, count=limit))
        known = await self._fields([fields["id"] for _, fields in entries], ("state", "payload", "result"))
        return [
            DeadFilm(
                entry=entry,
                film_id=fields["id"],
                reason=Reason(fields["reason"]),
                ended_at=moment(int(entry.partition("-")[0])),
                is_requeueable=_is_requeueable(*now),
            )
            for (entry, fields), now in zip(entries, known, strict=True)
        ]


def _is_requeueable(state: str | None, payload: str | None, result: Any) -> bool:
    if state != JobState.DONE or payload is None:
        return False
    try:
        return load_result(result).reason in OUR_FAULT
    except RecordCorrupt:
        return False  # the record says so itself, and keeps nobody from reading the rest of the list
