"""What a spool holds, as a test wants to see it."""

from __future__ import annotations

from services.jobs.records import Job
from services.jobs.spool import Spool


def journal(spool: Spool, *, older_than_seconds: float = -1) -> list[Job]:
    """Return the job of every kept payload that is older and has a readable sidecar."""
    found = (spool.job_of(payload) for payload in spool.kept(older_than_seconds=older_than_seconds))
    return [job for job in found if job is not None]
