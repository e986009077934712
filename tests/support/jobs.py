"""Jobs, decisions and takes as the queue's tests need them."""

from __future__ import annotations

import hashlib
import time
import uuid

from model.decision import Decision, Outcome, Policy, not_assessed
from model.decoding.header import ImageFormat
from model.errors import Reason
from services.jobs.records import Job, ModelReference, Priority, Timings, instance_id
from services.jobs.spool import payload_name

SCORED_BY = ModelReference(name="brightness", version="1", digest="0" * 64)
TIMINGS = Timings(queue=1.0, decode=2.0, inference=3.0, total=6.0)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def make_job(
    number: int | None = None,
    *,
    priority: Priority = Priority.ROUTINE,
    site: str = "default",
    study_uid: str | None = None,
    submitted_ms: int | None = None,
    content: bytes | None = None,
) -> Job:
    """Return the job of film ``number`` (a new one where None); the same number is the same film, another payload."""
    content = content if content is not None else f"film {uuid.uuid4() if number is None else number}".encode()
    sha256 = hashlib.sha256(content).hexdigest()
    film_id = instance_id(site=site, sop_instance_uid=None, sha256=sha256)
    return Job(
        id=film_id,
        site=site,
        priority=priority,
        study_uid=study_uid or f"1.2.{int(film_id[:12], 16)}",
        sop_instance_uid=None,
        image_format=ImageFormat.PNG,
        payload=payload_name(film_id),
        payload_bytes=len(content),
        sha256=sha256,
        submitted_ms=now_ms() if submitted_ms is None else submitted_ms,
    )


def scored(*, flagged: bool, site: str = "default") -> Decision:
    policy = Policy(site=site, version=0, name="screening", threshold=0.4, model_digest=SCORED_BY.digest)
    return Decision(
        outcome=Outcome.FLAGGED if flagged else Outcome.NOT_FLAGGED,
        probability=0.9 if flagged else 0.1,
        threshold=policy.threshold,
        policy=policy,
    )


def unread(reason: Reason = Reason.BLANK) -> Decision:
    return not_assessed(reason)


def lateral() -> Decision:
    return not_assessed(Reason.VIEW, is_lateral=True)
