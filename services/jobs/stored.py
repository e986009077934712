"""How a film lies in its Redis hash, and the record that is built from it.

Parsed strictly: what cannot be parsed is ``RecordCorrupt``, never a default, because a default could look healthy.
"""

from __future__ import annotations

from collections.abc import Collection

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from model.decision import Decision, Outcome
from model.decoding.header import ImageFormat
from model.errors import Reason
from services.jobs.errors import RecordCorrupt
from services.jobs.limits import QueueLimits
from services.jobs.records import (
    FindingRecord,
    Job,
    JobState,
    Links,
    ModelReference,
    PastDecision,
    Picture,
    PolicyReference,
    Record,
    Timings,
    moment,
)

RECORD_FIELDS = ("job", "state", "attempts", "taken_ms", "done_ms", "result")

_JOB: TypeAdapter[Job] = TypeAdapter(Job)


class Result(BaseModel):
    """What the finish script stores of a decision."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, extra="forbid")

    outcome: Outcome
    reason: Reason | None
    probability: float | None
    threshold: float | None
    policy: PolicyReference | None
    model: ModelReference | None
    findings: tuple[FindingRecord, ...] | None
    timings_ms: Timings
    # Results of 0.1.0 do not have it, and their films have none. A gateway of 0.1.0 cannot read results that have it,
    # and answers 503 for their films until it is upgraded: gateways are upgraded before workers.
    pictures: tuple[Picture, ...] = ()


def dump_job(job: Job) -> str:
    """Return a job as JSON; the form of the sidecar and of the hash."""
    return _JOB.dump_json(job).decode()


def load_job(text: str | bytes) -> Job:
    """Return the job that ``dump_job`` wrote; raise ``RecordCorrupt`` on anything else."""
    try:
        return _JOB.validate_json(text)
    except ValidationError as error:
        raise RecordCorrupt("a stored job cannot be read") from error


def result_of(
    decision: Decision,
    *,
    scored_by: ModelReference | None,
    timings: Timings,
    pictures: Collection[Picture] = (),
) -> Result:
    """Return what is stored of a decision; ``pictures`` are those that were kept.

    Raises
    ------
    ValueError
        If a score names no model; a record that breaks the invariant of DESIGN §2 must never be written.
    """
    if decision.outcome.is_scored and scored_by is None:
        raise ValueError("a scored film names the model that scored it")
    policy = decision.policy
    return Result(
        outcome=decision.outcome,
        reason=decision.reason,
        probability=decision.probability,
        threshold=decision.threshold,
        policy=policy and PolicyReference(site=policy.site, version=policy.version, name=policy.name),
        model=scored_by,
        findings=tuple(FindingRecord(label=f.label, probability=f.probability) for f in decision.findings) or None,
        timings_ms=timings,
        pictures=tuple(sorted(pictures)),
    )


def load_result(text: str | bytes | None) -> Result:
    """Return what ``result_of`` wrote; raise ``RecordCorrupt`` on anything else."""
    try:
        return Result.model_validate_json(text or "")
    except ValidationError as error:
        raise RecordCorrupt("a stored result cannot be read") from error


class _HistoryEntry(BaseModel):
    """What the rescore script keeps of a decision that is replaced; it keeps more, for the ledger."""

    model_config = ConfigDict(frozen=True)

    result: str
    done_ms: int
    attempts: int
    replaced_ms: int


def past_decision_of(entry: str) -> PastDecision:
    """Return the decision that an entry of a film's history holds; raise ``RecordCorrupt`` if it cannot be read."""
    try:
        kept = _HistoryEntry.model_validate_json(entry)
        result = load_result(kept.result)
        decided = result.model_dump(exclude={"pictures"})
        return PastDecision(
            **decided, done_at=moment(kept.done_ms), replaced_at=moment(kept.replaced_ms), attempts=kept.attempts
        )
    except ValidationError as error:
        raise RecordCorrupt("a stored earlier decision cannot be read") from error


def record_of(fields: list[str | None], *, now_ms: int, limits: QueueLimits) -> Record:
    """Return the record that the hash's ``RECORD_FIELDS`` amount to; raise ``RecordCorrupt`` if they do not."""
    job_text, state_text, attempts, taken, done, result_text = fields
    try:
        if job_text is None or state_text is None or attempts is None:
            raise ValueError("a field is missing")
        job, state = load_job(job_text), JobState(state_text)
        result = Result.model_validate_json(result_text) if result_text is not None else None
        done_ms = int(done) if done is not None else None
        return _assemble(
            job,
            state,
            result,
            attempts=int(attempts),
            taken_ms=int(taken) if taken is not None else None,
            done_ms=done_ms,
            overdue=state is not JobState.DONE and now_ms - job.submitted_ms > limits.overdue_ms(job.priority),
        )
    except ValueError as error:
        raise RecordCorrupt("a stored record cannot be read") from error


def _assemble(
    job: Job,
    state: JobState,
    result: Result | None,
    *,
    attempts: int,
    taken_ms: int | None,
    done_ms: int | None,
    overdue: bool,
) -> Record:
    timings = result.timings_ms if result else Timings()
    return Record(
        id=job.id,
        study_uid=job.study_uid,
        sop_instance_uid=job.sop_instance_uid,
        site=job.site,
        priority=job.priority,
        state=state,
        outcome=result.outcome if result else None,
        reason=result.reason if result else None,
        probability=result.probability if result else None,
        threshold=result.threshold if result else None,
        policy=result.policy if result else None,
        model=result.model if result else None,
        findings=result.findings if result else None,
        sha256=job.sha256,
        submitted_at=moment(job.submitted_ms),
        done_at=moment(done_ms) if done_ms is not None else None,
        timings_ms=timings.model_copy(
            update={
                "queue": timings.queue if timings.queue is not None else _span(job.submitted_ms, taken_ms),
                "total": timings.total if timings.total is not None else _span(job.submitted_ms, done_ms),
            }
        ),
        attempts=attempts,
        overdue=overdue,
        links=_links(job, result),
    )


def _links(job: Job, result: Result | None) -> Links:
    film = f"/v1/instances/{job.id}"
    pictures = result.pictures if result else ()
    # An archive knows nobody to whom a PNG or JPEG could belong.
    has_results = result is not None and job.image_format is ImageFormat.DICOM
    return Links(
        self=film,
        study=f"/v1/studies/{job.study_uid}?site={job.site}",
        preview=f"{film}/{Picture.PREVIEW}.png" if Picture.PREVIEW in pictures else None,
        heatmap=f"{film}/{Picture.HEATMAP}.png" if Picture.HEATMAP in pictures else None,
        report=f"{film}/report.dcm" if has_results else None,
        overlay=f"{film}/overlay.dcm" if has_results and Picture.HEATMAP in pictures else None,
    )


def _span(start_ms: int, end_ms: int | None) -> float | None:
    """Return the time between two clocks' readings; they may disagree by a little, a time is never negative."""
    return None if end_ms is None else float(max(end_ms - start_ms, 0))
