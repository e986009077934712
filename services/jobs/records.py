"""The words of the queue: a job on its way, and the record that callers see (DESIGN §5, §6).

Everything here is frozen. A job's ``id`` follows from what was submitted, so that a repeated submit is the same job.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, model_validator

from model.decision import Outcome
from model.decoding.header import ImageFormat
from model.errors import Reason

RECORD_SCHEMA_VERSION = 1


class Priority(StrEnum):
    """``stat`` is taken before ``routine``; one of eight taken jobs is kept for routine."""

    STAT = "stat"
    ROUTINE = "routine"


class JobState(StrEnum):
    """Where a film is."""

    QUEUED = "queued"  # durable, waiting for a worker, or for its next attempt
    RUNNING = "running"  # a worker holds it
    DONE = "done"  # has its outcome, which stands until an admin has the film scored again


class Picture(StrEnum):
    """What a worker keeps beside a payload, named as its link and its file are."""

    PREVIEW = "preview"  # the film as a reader sees it, small
    HEATMAP = "heatmap"  # the activation map from which the heat map is drawn


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What the caller says of a raster film, which cannot say it itself. Absent stays absent."""

    view: str | None = None
    age_years: float | None = None
    sex: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One accepted film. Also the spool's sidecar: with the payload it suffices to submit the film again.

    Attributes
    ----------
    id
        ``instance_id(...)``; 32 hex characters.
    payload
        Name of the payload in the spool; unique per upload, so that two replicas never share a file.
    sha256
        Hex digest of the payload, verified again before decoding.
    submitted_ms
        Milliseconds since the epoch when the gateway had the whole payload.
    """

    id: str
    site: str
    priority: Priority
    study_uid: str
    sop_instance_uid: str | None
    image_format: ImageFormat
    payload: str
    payload_bytes: int
    sha256: str
    submitted_ms: int
    claims: Claims = Claims()


@dataclass(frozen=True, kw_only=True)
class TakenJob:
    """A job in a worker's hands.

    Attributes
    ----------
    message_id
        Its entry in the stream of its priority; what ``finish`` acknowledges.
    taken_ms
        When it was taken, by Redis' clock.
    crashes
        How often a worker died or fell silent holding it. Above 0 the job is a suspect and runs alone.
    tries
        How many transient failures it has behind it.
    run
        How often the film was scored again before. What was handed out in an earlier run decides nothing any more.
    """

    job: Job
    message_id: str
    taken_ms: int
    crashes: int = 0
    tries: int = 0
    run: int = 0


class PolicyReference(BaseModel):
    """Which policy decided a film."""

    model_config = ConfigDict(frozen=True)
    site: str
    version: int
    name: str


class ModelReference(BaseModel):
    """Which model scored a film."""

    model_config = ConfigDict(frozen=True)
    name: str
    version: str
    digest: str


class FindingRecord(BaseModel):
    """One finding's probability."""

    model_config = ConfigDict(frozen=True)
    label: str
    probability: float


class Timings(BaseModel):
    """Milliseconds spent per stage; ``None`` where a stage was not reached."""

    model_config = ConfigDict(frozen=True)
    queue: float | None = None
    decode: float | None = None
    inference: float | None = None
    total: float | None = None


class Links(BaseModel):
    """Where to go next, relative to the service's root; ``null`` for what this film does not have.

    A service of 0.1.0 names ``self`` and ``study`` alone; ours always names all, and its document says so.
    """

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)
    self: str
    study: str
    preview: str | None = None
    heatmap: str | None = None
    report: str | None = None
    overlay: str | None = None


class Record(BaseModel):
    """A film as callers see it. Unset fields are ``null``, never absent.

    The safety invariant of DESIGN §2 is checked on construction: no record can carry a probability, threshold or
    findings unless its outcome is flagged or not_flagged, and a scored one names its model.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    schema_version: int = RECORD_SCHEMA_VERSION
    id: str
    study_uid: str
    sop_instance_uid: str | None
    site: str
    priority: Priority
    state: JobState
    outcome: Outcome | None
    reason: Reason | None
    probability: float | None
    threshold: float | None
    policy: PolicyReference | None
    model: ModelReference | None
    findings: tuple[FindingRecord, ...] | None
    sha256: str
    submitted_at: datetime
    done_at: datetime | None
    timings_ms: Timings
    attempts: int
    overdue: bool
    links: Links

    @model_validator(mode="after")
    def _nothing_unread_looks_scored(self) -> Record:
        check_evidence(self)
        is_scored = self.outcome is not None and self.outcome.is_scored
        if not is_scored and self.links.heatmap is not None:
            raise ValueError("a record without a score has no heat map")
        if (self.outcome is not None) != (self.state is JobState.DONE):
            raise ValueError("a record has an outcome exactly when it is done")
        return self


class PastDecision(BaseModel):
    """What a film was before it was scored again; the same invariant holds."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    outcome: Outcome
    reason: Reason | None
    probability: float | None
    threshold: float | None
    policy: PolicyReference | None
    model: ModelReference | None
    findings: tuple[FindingRecord, ...] | None
    done_at: datetime
    replaced_at: datetime
    timings_ms: Timings
    attempts: int

    @model_validator(mode="after")
    def _nothing_unread_looks_scored(self) -> PastDecision:
        check_evidence(self)
        return self


def check_evidence(decided: Record | PastDecision) -> None:
    """Raise ``ValueError`` unless probability, threshold, policy and findings stand beside a score, and only there."""
    is_scored = decided.outcome is not None and decided.outcome.is_scored
    evidence = (decided.probability, decided.threshold, decided.policy, decided.model)
    if is_scored and (any(part is None for part in evidence) or decided.reason is not None):
        raise ValueError("a scored record names probability, threshold, policy and model")
    if not is_scored and any(part is not None for part in (*evidence[:3], decided.findings)):
        raise ValueError("a record without a score carries no probability, threshold, policy or findings")


def instance_id(*, site: str, sop_instance_uid: str | None, sha256: str) -> str:
    """Return the id of a film: the same submission is the same job, whoever repeats it (DESIGN §4)."""
    return hashlib.sha256(f"{site}|{sop_instance_uid or ''}|{sha256}".encode()).hexdigest()[:32]


def study_uid_of_raster(film_id: str) -> str:
    """Return the StudyInstanceUID of a raster film that names none: ``2.25.<uuid>`` from its id (PS3.5 B.2)."""
    return f"2.25.{uuid.UUID(hex=film_id).int}"


def moment(epoch_ms: int) -> datetime:
    """Return milliseconds since the epoch as an aware UTC time."""
    return datetime.fromtimestamp(epoch_ms / 1000, tz=UTC)
