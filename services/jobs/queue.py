"""The queue between gateway and worker: streams, one hash a film, and Lua scripts that make each step atomic.

RELIABILITY.md §3 is the specification. Redis 6.2 suffices; no module, no newer command. Every write is a script that
may be repeated, because redis-py retries and a lost reply must not make a second job, nor count a second attempt.
The beat of held films is in ``beat.py`` (own thread, own connection), the comparison of queue and spool in
``reconcile.py``, the read side of studies in ``worklist.py``, clients and their timeouts in ``connection.py``.
Knows no payloads.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from redis.asyncio import Redis

from model.decision import Decision, Outcome, not_assessed
from model.errors import Reason
from services.jobs import keys, lua
from services.jobs.connection import MAX_BLOCK_MS, bounded
from services.jobs.durability import check_durability
from services.jobs.errors import JobNotFound, QueueFull, QueueUnavailable, RecordCorrupt
from services.jobs.limits import QueueLimits
from services.jobs.records import Job, JobState, ModelReference, Picture, Priority, Record, TakenJob, Timings
from services.jobs.status import QueueStatistics, WorkerStatus, dump_status, read_status
from services.jobs.stored import RECORD_FIELDS, dump_job, load_job, record_of, result_of

__all__ = ["JobQueue", "QueueLimits", "Registration", "Submission"]

logger = logging.getLogger(__name__)

ROUTINE_SHARE = 8  # one of so many taken jobs is routine while routine waits
_PAGE = 1000  # films per call of a sweeping script, so that no call holds up Redis for long
_EXPIRE_PAGE = 100
_WORKER_SILENT_MS = 30_000
_WORKER_FORGOTTEN_MS = 600_000
_STUDY_RETENTION_MS = 32 * 86_400_000
_NO_LIMIT = 2**53

# Ends that say more of us than of the film; they are listed in the DEAD stream for an operator.
_OUR_FAULT = frozenset({Reason.WORKER_CRASH, Reason.RETRIES_EXHAUSTED, Reason.DEADLINE, Reason.PAYLOAD_DIGEST})

_Reply = TypeVar("_Reply")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What became of a submit.

    ``is_new`` is False where the film was known with another payload: the record is then the old one, and the
    caller's payload may be removed. It stays True when the same submit is repeated.
    """

    record: Record
    is_new: bool


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What Redis says of a film when the spool asks: its state, and which payload it names (none once forgotten)."""

    state: JobState
    payload: str | None
    outcome: Outcome | None
    done_ms: int | None


class JobQueue:
    """Both ends of the queue. The gateway uses submit, record and statistics; the worker the rest.

    Attributes
    ----------
    patience_seconds
        After so long any call ends in QueueUnavailable; ``None`` leaves it to the client's own retries.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        limits: QueueLimits | None = None,
        retry_seconds: Sequence[float] = (1.0, 5.0, 25.0),
        patience_seconds: float | None = 5.0,
    ) -> None:
        self._redis = redis
        self._limits = limits or QueueLimits()
        self._waits_ms = [int(1000 * seconds) for seconds in retry_seconds]
        self._patience_seconds = patience_seconds
        self._unanswered: dict[tuple[str, str], str] = {}
        self._scripts = {name: redis.register_script(lua.source(name)) for name in lua.NAMES}

    async def _ask(self, reply: Awaitable[_Reply]) -> _Reply:
        async with bounded(self._patience_seconds):
            return await reply

    async def _run(self, script: str, *arguments: str | int) -> Any:
        return await self._ask(self._scripts[script](keys=[keys.OPEN], args=arguments))

    # -- gateway -------------------------------------------------------------------------------------------------
    async def submit(self, job: Job) -> Submission:
        """Make the film durable in Redis; raise QueueFull (nothing written) or QueueUnavailable (outcome unknown)."""
        return await self._submit(job, depth_limit=self._limits.depth(job.priority))

    async def resubmit(self, job: Job) -> Submission:
        """Submit a film that was accepted before, whatever the backlog; for the reconciler.

        Its deadline counts from now: what a Redis that lost its memory gets back is judged late rather than never.
        """
        return await self._submit(job, depth_limit=_NO_LIMIT, is_replay=True)

    async def _submit(self, job: Job, *, depth_limit: int, is_replay: bool = False) -> Submission:
        verdict, *fields = await self._run(
            "submit",
            job.id,
            dump_job(job),
            job.payload,
            job.priority,
            job.site,
            job.study_uid,
            job.submitted_ms,
            depth_limit,
            int(is_replay),
        )
        if verdict == "full":
            raise QueueFull("the backlog is at its limit")
        return Submission(record=self._record(fields[0]), is_new=verdict == "ours")

    async def has_room(self, priority: Priority) -> bool:
        """Return whether a submit would be accepted now; a cheap look before a body is read."""
        pipe = self._redis.pipeline(transaction=False)
        for waiting in Priority:
            pipe.xlen(keys.queue(waiting))
        pipe.zcard(keys.RETRY)
        return int(sum(await self._ask(pipe.execute()))) < self._limits.depth(priority)

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
            film_id: Registration(
                state=JobState(state), payload=payload, outcome=outcome and Outcome(outcome), done_ms=done and int(done)
            )
            for film_id, (state, payload, outcome, done) in zip(film_ids, found, strict=True)
            if state is not None
        }

    async def _fields(self, film_ids: Iterable[str], names: Sequence[str]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for film_id in film_ids:
            pipe.hmget(keys.instance(film_id), list(names))
        return await self._ask(pipe.execute())

    def _record(self, fields: list[str | None]) -> Record:
        return record_of(fields, now_ms=time.time_ns() // 1_000_000, limits=self._limits)

    async def statistics(self) -> QueueStatistics:
        """Return depths and times, all of one moment."""
        stat, routine, retrying, open_films, oldest_stat, oldest_routine = await self._run("statistics", 10 * _PAGE)
        return QueueStatistics(
            depth={Priority.STAT: stat, Priority.ROUTINE: routine},
            oldest_open_ms={
                Priority.STAT: oldest_stat and int(oldest_stat),
                Priority.ROUTINE: oldest_routine and int(oldest_routine),
            },
            retrying=retrying,
            open=open_films,
        )

    async def workers(self) -> list[WorkerStatus]:
        """Return the workers whose last beat is younger than 30 s, by name."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.hgetall(keys.WORKERS)
        (seconds, microseconds), announced = await self._ask(pipe.execute())
        now_ms = seconds * 1000 + microseconds // 1000
        statuses = (read_status(text) for _, text in sorted(announced.items()))
        return [status for status in statuses if status and now_ms - status.beat_ms < _WORKER_SILENT_MS]

    async def check_durability(self) -> None:
        """Raise QueueUnsafe unless Redis has AOF on, policy noeviction, and is a primary; probes a write too."""
        await self._ask(check_durability(self._redis))

    # -- worker --------------------------------------------------------------------------------------------------
    async def take(self, consumer: str, *, count: int, block_ms: int) -> list[TakenJob]:
        """Return up to ``count`` jobs, stat first, one of eight kept for routine; suspects come from ``reap`` only.

        Waits up to ``block_ms`` (at most 2000) where nothing is queued. Waiting takes nothing, so a lost connection
        leaves no job in nobody's hands.
        """
        if count < 1:
            raise ValueError("take at least one job")
        jobs, last_ids = await self._take(consumer, count)
        if jobs or block_ms <= 0:
            return jobs
        streams: dict[Any, Any] = {keys.queue(priority): last_ids[priority] for priority in Priority}
        await self._ask(self._redis.xread(streams, count=1, block=min(block_ms, MAX_BLOCK_MS)))
        return (await self._take(consumer, count))[0]

    async def _take(self, consumer: str, count: int) -> tuple[list[TakenJob], dict[Priority, str]]:
        jobs, last_stat, last_routine = await self._handed_out("take", consumer, count, ROUTINE_SHARE)
        return _readable(jobs), {Priority.STAT: last_stat, Priority.ROUTINE: last_routine}

    async def _handed_out(self, script: str, consumer: str, *arguments: str | int) -> Any:
        """Run a script that hands jobs out, with one token until it answers: what a lost reply held comes again."""
        token = self._unanswered.pop((script, consumer), None) or secrets.token_hex(8)
        try:
            return await self._run(script, consumer, token, *arguments)
        except (QueueUnavailable, asyncio.CancelledError):
            self._unanswered[script, consumer] = token
            raise

    async def finish(
        self,
        taken: TakenJob,
        decision: Decision,
        *,
        model: ModelReference | None,
        timings: Timings,
        pictures: Collection[Picture] = (),
    ) -> bool:
        """Acknowledge the job and write its result, in one step; the first writer wins.

        Returns whether this result is the one that stands; the same on repetition. Commits also while Redis is out
        of memory.

        Raises
        ------
        ValueError
            If a scored decision comes without the model that scored it.
        """
        result = result_of(decision, scored_by=model, timings=timings, pictures=pictures)
        reason = decision.reason
        reply = await self._run(
            "finish",
            taken.job.id,
            taken.job.priority,
            taken.message_id,
            f"{taken.message_id}:{taken.taken_ms}:{taken.crashes}",
            decision.outcome,
            reason or "",
            int(reason in _OUR_FAULT),
            result.model_dump_json(),
            int(decision.is_lateral),
        )
        return bool(reply)

    async def retry(self, consumer: str, taken: TakenJob) -> bool:
        """Put the job off after a transient failure; its wait follows from how many it has behind it.

        Returns False where its tries are used up: nothing is written, and the caller finishes it with
        ``retries_exhausted``. True also where the job is no longer the consumer's: another one cares for it then.
        """
        entry = (taken.job.id, taken.job.priority, taken.message_id)
        reply = await self._run("retry", consumer, *entry, *self._waits_ms)
        return int(reply) != 0

    async def release(self, consumer: str, taken: list[TakenJob]) -> None:
        """Give jobs back unharmed: the next ``take`` (for suspects ``reap``) has them, and no attempt is burned."""
        if taken:
            await self._run("release", consumer, *_entries(taken))

    async def reap(self, consumer: str, *, idle_ms: int, holding: Iterable[str] = ()) -> TakenJob | None:
        """Take over one job whose worker was silent for ``idle_ms``, counted as a crash; run it alone.

        ``holding`` names the films that the caller itself works on: after an outage of Redis they look silent, too.
        """
        jobs = await self._handed_out("reap", consumer, idle_ms, *holding)
        return next(iter(_readable(jobs)), None)

    async def promote(self) -> int:
        """Queue the films whose retry wait is over, by Redis' clock; return how many. Once a second."""
        return int(await self._run("promote", _PAGE))

    async def expire(self, *, deadline_seconds: float) -> int:
        """End every film older than the deadline as not_assessed(deadline), whoever holds it; return how many."""
        decision = not_assessed(Reason.DEADLINE)
        result = result_of(decision, scored_by=None, timings=Timings()).model_dump_json()
        age_ms = int(1000 * deadline_seconds)
        ended = 0
        while True:
            page: int = await self._run("expire", age_ms, decision.outcome, Reason.DEADLINE, result, _EXPIRE_PAGE)
            ended += page
            if page < _EXPIRE_PAGE:
                return ended

    async def reconcile(self) -> int:
        """Queue again every open film that no stream, worker or retry holds; return how many. Also prunes the index."""
        offset = requeued = 0
        while True:
            looked_at: int
            healed: int
            looked_at, healed = await self._run("reconcile", offset, _PAGE)
            requeued += healed
            offset += looked_at
            if looked_at < _PAGE:
                break
        await self._run("prune", _STUDY_RETENTION_MS, _PAGE)
        return requeued

    async def forget_payload(self, film_id: str, payload: str) -> bool:
        """Note that a finished film's payload is about to be deleted; return whether it may be."""
        return bool(await self._run("forget_payload", film_id, payload))

    async def announce(self, status: WorkerStatus) -> None:
        """Say that a worker lives and what it serves; forgets workers silent for ten minutes."""
        await self._run("announce", status.consumer, dump_status(status), _WORKER_FORGOTTEN_MS)


def _entries(taken: Iterable[TakenJob]) -> list[str]:
    return [part for one in taken for part in (one.job.priority, one.message_id, one.job.id)]


def _readable(jobs: Iterable[list[Any]]) -> list[TakenJob]:
    """Return the jobs that can be read; a damaged one must not keep its neighbours from being worked on."""
    taken = []
    for message_id, job, taken_ms, crashes, tries in jobs:
        try:
            taken.append(
                TakenJob(job=load_job(job), message_id=message_id, taken_ms=taken_ms, crashes=crashes, tries=tries)
            )
        except RecordCorrupt:
            # It stays pending, is tried by others, and ends at its deadline.
            logger.error("a stored job cannot be read", extra={"action": "job_unreadable", "message_id": message_id})
    return taken
