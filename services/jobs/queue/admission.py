"""How films come in: submitted in one atomic step, which also decides whether there is room."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.jobs.errors import QueueFull, RecordCorrupt, SiblingUnseen, SiteShareUsed
from services.jobs.queue.scripted import Scripted
from services.jobs.records import Job, Priority, Record
from services.jobs.stored import dump_job, load_job

_NO_LIMITS = (2**53, 2**53, 2**53)
_ACCEPTED_BEFORE = "*"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What became of a submit.

    ``is_new`` is False where the film was known with another payload: the record is then the old one, and the
    caller's payload may be removed. It stays True when the same submit is repeated. ``revises`` is the id of the film
    that the same SOPInstanceUID was before, where the new one has other pixels, or nobody can tell.
    """

    record: Record
    is_new: bool
    revises: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sibling:
    """The film that an object of the same SOPInstanceUID and site was, when it came last.

    ``kept`` is its job while the spool has its payload, ``record`` what became of it; both are ``None`` where somebody
    has damaged what Redis says of it.
    """

    film_id: str
    kept: Job | None
    record: Record | None


class Admission(Scripted):
    """The gateway's end."""

    async def submit(self, job: Job, *, compared_with: str | None = None) -> Submission:
        """Make the film durable in Redis, where there is room for it.

        ``compared_with`` is the id of the sibling that ``look_up`` told of, and that is not this film.

        Raises
        ------
        SiblingUnseen
            If its SOPInstanceUID is another film by now; nothing was written. Look it up, compare, come again.
        QueueFull
            If the backlog or the bytes of open films are at their limit; nothing was written.
        SiteShareUsed
            If the film's site, one of several, has its share of the backlog open; nothing was written.
        QueueUnavailable
            If Redis does not answer, or refuses to write; the outcome is then unknown.
        """
        submission = await self._submit(job, self._limits_of(job.priority), compared_with or "")
        return replace(submission, revises=compared_with) if submission.is_new else submission

    async def resubmit(self, job: Job) -> Submission:
        """Submit a film that was accepted before, whatever the backlog; for the reconciler.

        Its deadline counts from now: what a Redis that lost its memory gets back is judged late rather than never.
        Its siblings come back too, each as the film that it was; none of them is a revision because of that.
        """
        return await self._submit(job, _NO_LIMITS, _ACCEPTED_BEFORE)

    async def _submit(self, job: Job, limits: tuple[int, int, int], compared_with: str) -> Submission:
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
            job.sop_instance_uid or "",
            compared_with,
        )
        refuse(verdict)
        if verdict == "sibling":
            raise SiblingUnseen("another film of the same object came meanwhile")
        return Submission(record=self._record(fields[0]), is_new=verdict == "ours")

    async def check_room(self, *, priority: Priority, site: str, payload_bytes: int) -> None:
        """Raise QueueFull or SiteShareUsed where a submit would be refused now; a cheap look before a body is read.

        ``payload_bytes`` is what the caller says of the body, 0 where it says nothing; the submit counts.
        """
        refuse(await self._run("check_room", site, payload_bytes, *self._limits_of(priority)))

    async def look_up(self, job: Job) -> Record | Sibling | None:
        """Return the record of a film that is known, ``None`` where it is not and a submit would be taken now.

        A sibling where it is not known by these bytes, but its SOPInstanceUID is: whoever submits it says that he has
        compared the two.

        Raises
        ------
        QueueFull, SiteShareUsed
            If it is not known, and a submit would be refused now.
        QueueUnavailable
            If Redis does not answer.
        """
        limits = self._limits_of(job.priority)
        uid = job.sop_instance_uid or ""
        verdict, *fields = await self._run("look_up", job.id, job.site, job.payload_bytes, *limits, uid)
        if verdict == "known":
            return self._record(fields)
        refuse(verdict)
        return self._sibling(*fields) if verdict == "sibling" else None

    def _sibling(self, film_id: str, payload: str | None, *fields: str | None) -> Sibling:
        try:
            record = self._record(list(fields))
        except RecordCorrupt:
            # It says so itself wherever it is asked for; it must not keep out a film that may be another.
            return Sibling(film_id=film_id, kept=None, record=None)
        job = load_job(fields[0] or "")
        return Sibling(film_id=film_id, kept=job if payload == job.payload else None, record=record)

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
