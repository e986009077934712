"""How the queue is looked at: records, the state of the whole, who works on it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.decision import Outcome
from services.jobs import keys
from services.jobs.durability import check_durability, identity
from services.jobs.errors import JobNotFound
from services.jobs.queue.scripted import PAGE, Scripted
from services.jobs.records import JobState, Priority, Record
from services.jobs.status import QueueStatistics, WorkerStatus, read_status
from services.jobs.stored import RECORD_FIELDS

logger = logging.getLogger(__name__)

_WORKER_SILENT_MS = 30_000


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What Redis says of a film when the spool asks: its state, and which payload it names (none once forgotten).

    ``state`` is ``None`` where somebody has damaged what Redis says; such a film keeps nobody from asking for others.
    """

    state: JobState | None
    payload: str | None
    outcome: Outcome | None
    done_ms: int | None


class Looking(Scripted):
    """Reads; changes nothing."""

    async def record(self, film_id: str) -> Record:
        """Return the film's record; raise JobNotFound or QueueUnavailable."""
        records = await self.records([film_id])
        if not records:
            raise JobNotFound("no such instance")
        return records[0]

    async def records(self, film_ids: list[str]) -> list[Record]:
        """Return the records that exist, in order, in one round trip; raise RecordCorrupt rather than guess."""
        found = await self._fields(film_ids, RECORD_FIELDS)
        return [self._record(fields) for fields in found if any(field is not None for field in fields)]

    async def registrations(self, film_ids: list[str]) -> dict[str, Registration]:
        """Return what Redis knows of these films; the unknown ones are missing."""
        found = await self._fields(film_ids, ("state", "payload", "outcome", "done_ms"))
        return {
            film_id: _registration(film_id, *fields)
            for film_id, fields in zip(film_ids, found, strict=True)
            if fields[0] is not None
        }

    async def _fields(self, film_ids: Sequence[str], names: Sequence[str]) -> list[Any]:
        if len(film_ids) == 1:  # the everyday question: who waits for one film; a pipeline costs twice as much
            return [await self._ask(self._redis.hmget(keys.instance(film_ids[0]), list(names)))]
        pipe = self._redis.pipeline(transaction=False)
        for film_id in film_ids:
            pipe.hmget(keys.instance(film_id), list(names))
        return await self._ask(pipe.execute())

    async def statistics(self) -> QueueStatistics:
        """Return depths and times, all of one moment."""
        stat, routine, retrying, open_films, oldest_stat, oldest_routine, *rest = await self._run(
            "statistics", 10 * PAGE
        )
        open_bytes, dead, ledger_due, oldest_due = rest
        return QueueStatistics(
            depth={Priority.STAT: stat, Priority.ROUTINE: routine},
            oldest_open_ms={
                Priority.STAT: oldest_stat and int(oldest_stat),
                Priority.ROUTINE: oldest_routine and int(oldest_routine),
            },
            retrying=retrying,
            open=open_films,
            open_bytes=open_bytes,
            dead=dead,
            ledger_due=ledger_due,
            oldest_ledger_due_ms=oldest_due and int(oldest_due),
        )

    async def workers(self) -> list[WorkerStatus]:
        """Return the workers whose last beat is younger than 30 s, by name."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.hgetall(keys.WORKERS)
        (seconds, microseconds), announced = await self._ask(pipe.execute())
        redis_ms = seconds * 1000 + microseconds // 1000
        statuses = (read_status(text) for _, text in sorted(announced.items()))
        return [status for status in statuses if status and redis_ms - status.beat_ms < _WORKER_SILENT_MS]

    async def check_durability(self) -> None:
        """Raise QueueUnsafe unless Redis has AOF on, policy noeviction, and is a primary; probes a write too."""
        await self._ask(check_durability(self._redis))

    async def identity(self) -> str:
        """Return what changes when Redis may have forgotten something: it restarted, failed over, or was flushed."""
        return await self._ask(identity(self._redis))


def _registration(
    film_id: str, state: str, payload: str | None, outcome: str | None, done_ms: str | None
) -> Registration:
    try:
        return Registration(
            state=JobState(state),
            payload=payload,
            outcome=Outcome(outcome) if outcome is not None else None,
            done_ms=int(done_ms) if done_ms is not None else None,
        )
    except ValueError:
        logger.error("a film's registration cannot be read", extra={"action": "record_unreadable", "job_id": film_id})
        return Registration(state=None, payload=payload, outcome=None, done_ms=None)
