"""A received payload becomes a job: header read, looked up, kept in the spool, submitted. Knows no HTTP.

The order is the guarantee (RELIABILITY.md §3): payload and sidecar are durable before Redis hears of them, and a film
is acknowledged only after Redis has it. What fails in between leaves nothing, or a file that reconcile finds.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from model.decoding.header import Header, ImageFormat
from model.decoding.inspect import inspect_header
from services.api.errors import ClaimsNotAllowed, MediaTypeMismatch
from services.jobs.errors import QueueFull, SiteShareUsed
from services.jobs.queue import JobQueue, Submission
from services.jobs.records import Claims, Job, Priority, instance_id, study_uid_of_raster
from services.jobs.spool import Spool, payload_name
from services.jobs.upload import Upload


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
    return _job(upload, header, placement)


async def ingest(upload: Upload, job: Job, *, spool: Spool, queue: JobQueue) -> Submission:
    """Make a payload durable and submit it; a film that is known already keeps its record.

    Raises
    ------
    SpoolFull, SpoolUnavailable
        If the payload cannot be made durable; nothing is kept.
    QueueFull, SiteShareUsed
        If there is no room; nothing is kept.
    QueueUnavailable
        If nobody knows whether the submit took effect; the payload stays, and reconcile decides.
    """
    # Neither a film that is sent again nor one that has no room costs a disk sync; a small one, no file. What changes
    # in the moment until it is submitted is seen there.
    known = await queue.look_up(job)
    if known is not None:
        return Submission(record=known, is_new=False)
    await asyncio.to_thread(spool.keep, upload, job)
    try:
        submission = await queue.submit(job)
    except (QueueFull, SiteShareUsed):
        await asyncio.to_thread(spool.remove, job.payload)
        raise
    if not submission.is_new:
        await asyncio.to_thread(spool.remove, job.payload)
    return submission


def _check_declared(header: Header, declared: ImageFormat | None, placement: Placement) -> None:
    if declared not in (None, header.image_format):
        raise MediaTypeMismatch(
            f"Declared as {declared}, but the bytes are {header.image_format}. Declare what is sent."
        )
    has_claims = placement.study_uid is not None or placement.claims != Claims()
    if has_claims and header.image_format is ImageFormat.DICOM:
        raise ClaimsNotAllowed("A DICOM film says study, view, age and sex itself; send it without these parameters.")


def _job(upload: Upload, header: Header, placement: Placement) -> Job:
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
