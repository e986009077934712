"""The worker's end: films are taken, and end, are put off or given back."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Collection, Iterable
from typing import Any

from model.decision import Decision
from services.jobs import keys
from services.jobs.connection import MAX_BLOCK_MS
from services.jobs.errors import QueueUnavailable, RecordCorrupt
from services.jobs.queue.scripted import OUR_FAULT, Scripted
from services.jobs.records import ModelReference, Picture, Priority, TakenJob, Timings
from services.jobs.status import WorkerStatus, dump_status
from services.jobs.stored import load_job, result_of

logger = logging.getLogger(__name__)

ROUTINE_SHARE = 8  # one of so many taken jobs is routine while routine waits
_WORKER_FORGOTTEN_MS = 600_000
_NEVER_IDLE_MS = 10**12  # beyond what a suspect that was put aside pretends (shared.lua): a reap that finds nothing new


class Working(Scripted):
    """What a worker does with films that it holds."""

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

        Returns whether this result is the one that stands; the same on repetition. A job that was handed out before
        the film was scored again decides nothing. Commits also while Redis is out of memory.

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
            int(reason in OUR_FAULT),
            result.model_dump_json(),
            int(decision.is_lateral),
            taken.run,
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
        """Give jobs back unharmed: the next ``take`` (for suspects ``reap``) has them, and no attempt is burned.

        With them goes what a ``take`` or ``reap`` was handed whose answer nobody heard, because it was cancelled.
        """
        given_back = [*taken, *await self._unheard(consumer)]
        if given_back:
            entries = [part for one in given_back for part in (one.job.priority, one.message_id, one.job.id)]
            await self._run("release", consumer, *entries)

    async def _unheard(self, consumer: str) -> list[TakenJob]:
        """Return what was handed out unheard; where that call never came through, a film that is taken only now."""
        jobs: list[TakenJob] = []
        if ("take", consumer) in self._unanswered:
            jobs += (await self._take(consumer, 1))[0]
        if ("reap", consumer) in self._unanswered:
            suspect = await self.reap(consumer, idle_ms=_NEVER_IDLE_MS)
            jobs += [] if suspect is None else [suspect]
        return jobs

    async def has_suspects(self, consumer: str, *, idle_ms: int, holding: Iterable[str] = ()) -> bool:
        """Return whether ``reap`` has something to do. Takes nothing.

        A worker asks, finishes what it holds, and reaps then: a suspect that it held meanwhile would be blamed for
        whatever the worker died of. ``holding`` names the films that it works on: after an outage of Redis they look
        silent, too. A suspect of whose reap the consumer never heard is given back first, or it would be nobody's.
        """
        if ("reap", consumer) in self._unanswered:
            await self.release(consumer, [])
        return bool(await self._run("suspects", idle_ms, *holding))

    async def reap(self, consumer: str, *, idle_ms: int) -> TakenJob | None:
        """Take over one job whose worker was silent for ``idle_ms``, counted as a crash; run it alone.

        For a consumer that holds nothing: its own films could have been silent for so long.
        """
        jobs = await self._handed_out("reap", consumer, idle_ms)
        return next(iter(_readable(jobs)), None)

    async def announce(self, status: WorkerStatus) -> None:
        """Say that a worker lives and what it serves; forgets workers silent for ten minutes."""
        await self._run("announce", status.consumer, dump_status(status), _WORKER_FORGOTTEN_MS)


def _readable(jobs: Iterable[list[Any]]) -> list[TakenJob]:
    """Return the jobs that can be read; a damaged one must not keep its neighbours from being worked on."""
    taken = []
    for message_id, job, taken_ms, crashes, tries, run in jobs:
        try:
            taken.append(
                TakenJob(
                    job=load_job(job), message_id=message_id, taken_ms=taken_ms, crashes=crashes, tries=tries, run=run
                )
            )
        except RecordCorrupt:
            # It stays pending, is tried by others, and ends at its deadline.
            logger.error("a stored job cannot be read", extra={"action": "job_unreadable", "message_id": message_id})
    return taken
