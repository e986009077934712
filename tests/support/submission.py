"""Films into the queue as the gateway puts them there: payload in the spool first, then the submit script."""

from __future__ import annotations

import hashlib

from model.decoding.header import ImageFormat
from services.jobs.queue import JobQueue
from services.jobs.records import Claims, Job, Priority, instance_id, study_uid_of_raster
from services.jobs.spool import Spool, payload_name
from tests.support.jobs import now_ms


async def submit_film(
    queue: JobQueue,
    spool: Spool,
    payload: bytes,
    *,
    image_format: ImageFormat = ImageFormat.PNG,
    priority: Priority = Priority.ROUTINE,
    claims: Claims | None = None,
) -> Job:
    """Keep and submit one film; return its job."""
    job = keep_film(spool, payload, image_format=image_format, priority=priority, claims=claims)
    await queue.submit(job)
    return job


def keep_film(
    spool: Spool,
    payload: bytes,
    *,
    image_format: ImageFormat = ImageFormat.PNG,
    priority: Priority = Priority.ROUTINE,
    claims: Claims | None = None,
) -> Job:
    """Keep one film without submitting it, as a gateway that dies in between does."""
    job = job_of(payload, image_format=image_format, priority=priority, claims=claims)
    upload = spool.begin()
    upload.write(payload)
    spool.keep(upload, job)
    return job


def job_of(
    payload: bytes,
    *,
    image_format: ImageFormat = ImageFormat.PNG,
    priority: Priority = Priority.ROUTINE,
    claims: Claims | None = None,
) -> Job:
    digest = hashlib.sha256(payload).hexdigest()
    film_id = instance_id(site="default", sop_instance_uid=None, sha256=digest)
    return Job(
        id=film_id,
        site="default",
        priority=priority,
        study_uid=study_uid_of_raster(film_id),
        sop_instance_uid=None,
        image_format=image_format,
        payload=payload_name(film_id),
        payload_bytes=len(payload),
        sha256=digest,
        submitted_ms=now_ms(),
        claims=claims or Claims(),
    )
