"""A received payload becomes a job: header read, looked up, kept in the spool, submitted. Knows no HTTP.

The order is the guarantee (RELIABILITY.md §3): payload and sidecar are durable before Redis hears of them, and a film
is acknowledged only after Redis has it. What fails in between leaves nothing, or a file that reconcile finds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from model.decoding.header import Header, ImageFormat
from model.decoding.inspect import inspect_header
from services.jobs.errors import (
    ClaimsNotAllowed,
    MediaTypeMismatch,
    QueueFull,
    SiblingUnseen,
    SiteShareUsed,
    SpoolUnavailable,
)
from services.jobs.identity import recognise
from services.jobs.ledger.entries import AuditEvent, Note
from services.jobs.ledger.trail import AuditTrail
from services.jobs.queue import JobQueue, Sibling, Submission
from services.jobs.records import Claims, Job, Priority, Record, instance_id, study_uid_of_raster
from services.jobs.spool import Spool, payload_name
from services.jobs.upload import Upload

# Each is a race lost against another gateway that takes the same object at the same moment.
_MOST_COMPARISONS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What the caller says of a film besides its bytes."""

    site: str
    priority: Priority
    study_uid: str | None = None
    claims: Claims = field(default_factory=Claims)


def read_job(upload: Upload, declared: ImageFormat | None, placement: Placement) -> Job:
    """Return the job that a whole payload makes; reads its header, and may block.

    Raises
    ------
    UnsupportedFormat, CorruptImage
        If the header cannot be read.
    MediaTypeMismatch, ClaimsNotAllowed
        If what was declared contradicts the header.
    SpoolFull, SpoolUnavailable
        If the last bytes of a large payload cannot be written.
    """
    header = inspect_header(upload.content())
    _check_declared(header, declared, placement)
    return job_of(upload, header, placement)


def job_of(upload: Upload, header: Header, placement: Placement) -> Job:
    """Return the job of a whole payload whose header was read; asks nothing of what was declared."""
    sha256 = upload.sha256()
    film_id = instance_id(site=placement.site, sop_instance_uid=header.sop_instance_uid, sha256=sha256)
    # A DICOM file without one, or whose data set is never read (deflated, say), is a study of its own.
    study_uid = placement.study_uid or header.study_instance_uid or study_uid_of_raster(film_id)
    return Job(
        id=film_id,
        site=placement.site,
        priority=placement.priority,
        study_uid=study_uid,
        sop_instance_uid=header.sop_instance_uid,
        image_format=header.image_format,
        payload=payload_name(film_id),
        payload_bytes=upload.size_bytes,
        sha256=sha256,
        submitted_ms=time.time_ns() // 1_000_000,
        claims=placement.claims,
    )


async def ingest(upload: Upload, job: Job, *, spool: Spool, queue: JobQueue) -> Submission:
    """Make a payload durable and submit it; a film that is known already keeps its record.

    Known it is by its bytes, or where its SOPInstanceUID is known, by pixels and header. Nothing else is compared, and
    nothing at all where the SOPInstanceUID is new. An object of a known one that is another film is submitted as such;
    ``revises`` says of which film, and the caller warns of it.

    Raises
    ------
    SpoolFull, SpoolUnavailable
        If the payload cannot be made durable; nothing is kept.
    QueueFull, SiteShareUsed
        If there is no room; nothing is kept.
    SiblingUnseen
        If other films of the same object come faster than they can be compared; nothing is kept.
    QueueUnavailable
        If nobody knows whether the submit took effect; the payload stays, and reconcile decides.
    """
    # Neither a film that is sent again nor one that has no room costs a disk sync; a small one, no file. What changes
    # in the moment until it is submitted is seen there.
    found = await queue.look_up(job)
    known = await _recognise(found, upload.content, spool)
    if known is not None:
        return Submission(record=known, is_new=False)
    await asyncio.to_thread(spool.keep, upload, job)
    try:
        submission = await _submit(job, found, spool=spool, queue=queue)
    except (QueueFull, SiteShareUsed, SiblingUnseen, SpoolUnavailable):
        await asyncio.to_thread(spool.remove, job.payload)
        raise
    if not submission.is_new:
        await asyncio.to_thread(spool.remove, job.payload)
    return submission


async def _submit(job: Job, found: Record | Sibling | None, *, spool: Spool, queue: JobQueue) -> Submission:
    """Submit a kept payload; compared first with each film of the same object that came since it was looked up."""
    for _ in range(_MOST_COMPARISONS):
        try:
            return await queue.submit(job, compared_with=found.film_id if isinstance(found, Sibling) else None)
        except SiblingUnseen:
            found = await queue.look_up(job)
        known = await _recognise(found, partial(spool.read, job), spool)
        if known is not None:
            return Submission(record=known, is_new=False)
    raise SiblingUnseen("films of one object come faster than they can be compared")


async def _recognise(
    found: Record | Sibling | None, content: Callable[[], bytes | Path], spool: Spool
) -> Record | None:
    """Return the record that a look-up found, or that the film turns out to have."""
    if not isinstance(found, Sibling):
        return found
    return await asyncio.to_thread(lambda: recognise(content(), found, spool))


def _check_declared(header: Header, declared: ImageFormat | None, placement: Placement) -> None:
    if declared not in (None, header.image_format):
        raise MediaTypeMismatch(f"declared as {declared}, but the bytes are {header.image_format}")
    has_claims = placement.study_uid is not None or placement.claims != Claims()
    if has_claims and header.image_format is ImageFormat.DICOM:
        raise ClaimsNotAllowed("claims for a film that says study, view, age and sex itself")


def warn_of_revision(trail: AuditTrail, submission: Submission, *, who: str | None, source: str | None) -> None:
    """Write into the audit trail that an object came again as another film; nothing where it did not.

    ``who`` and ``source`` are the key, or calling AE, and the address that it came from.
    """
    if submission.revises is None:
        return
    film = submission.record
    facts = {"film": film.id, "study": film.study_uid, "site": film.site, "who": who, "source": source}
    trail.note_facts(Note(event=AuditEvent.REVISED, facts={**facts, "revises": submission.revises}))
