"""How films come in: submitted in one atomic step, which also decides whether there is room."""

from __future__ import annotations

from dataclasses import dataclass

from services.jobs.errors import QueueFull, SiteShareUsed
from services.jobs.queue.scripted import Scripted
from services.jobs.records import Job, Priority, Record
from services.jobs.stored import dump_job

_NO_LIMITS = (2**53, 2**53, 2**53)


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What became of a submit.

    ``is_new`` is False where the film was known with another payload: the record is then the old one, and the
    caller's payload may be removed. It stays True when the same submit is repeated.
    """

    record: Record
    is_new: bool


class Admission(Scripted):
    """The gateway's end."""

    async def submit(self, job: Job) -> Submission:
        """Make the film durable in Redis, where there is room for it.

        Raises
        ------
        QueueFull
            If the backlog or the bytes of open films are at their limit; nothing was written.
        SiteShareUsed
            If the film's site, one of several, has its share of the backlog open; nothing was written.
        QueueUnavailable
            If Redis does not answer, or refuses to write; the outcome is then unknown.
        """
        return await self._submit(job, self._limits_of(job.priority))

    async def resubmit(self, job: Job) -> Submission:
        """Submit a film that was accepted before, whatever the backlog; for the reconciler.

        Its deadline counts from now: what a Redis that lost its memory gets back is judged late rather than never.
        """
        return await self._submit(job, _NO_LIMITS)

    async def _submit(self, job: Job, limits: tuple[int, int, int]) -> Submission:
        verdict, *fields = await self._run(
            "submit",
            job.id,
            dump_job(job),
            job.payload,
            job.priority,
            job.site,
            job.study_uid,
            job.submitted_ms,
            job.payload_bytes,
            *limits,
        )
        refuse(verdict)
        return Submission(record=self._record(fields[0]), is_new=verdict == "ours")

    async def check_room(self, *, priority: Priority, site: str, payload_bytes: int) -> None:
        """Raise QueueFull or SiteShareUsed where a submit would be refused now; a cheap look before a body is read.

        ``payload_bytes`` is what the caller says of the body, 0 where it says nothing; the submit counts.
        """
        refuse(await self._run("check_room", site, payload_bytes, *self._limits_of(priority)))

    async def look_up(self, job: Job) -> Record | None:
        """Return the record of a film that is known, or ``None`` where it is not and a submit would be taken now.

        Raises
        ------
        QueueFull, SiteShareUsed
            If it is not known, and a submit would be refused now.
        QueueUnavailable
            If Redis does not answer.
        """
        limits = self._limits_of(job.priority)
        verdict, *fields = await self._run("look_up", job.id, job.site, job.payload_bytes, *limits)
        if verdict == "known":
            return self._record(fields)
        refuse(verdict)
        return None

    def _limits_of(self, priority: Priority) -> tuple[int, int, int]:
        """Return the limits that the scripts' ``refusal`` takes: depth, bytes, films of one site."""
        depth = self._limits.depth(priority)
        return depth, self._limits.open_bytes, max(1, int(depth * self._limits.site_share))


def refuse(verdict: str | None) -> None:
    """Raise what the scripts' ``refusal`` said; return where it refused nothing."""
    if verdict == "full":
        raise QueueFull("the backlog is at its limit")
    if verdict == "share":
        raise SiteShareUsed("the site has used its share of the backlog")
