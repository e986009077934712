"""How a film's outcome lies in the trail: all that its record needs, and nothing about a person.

Must not know files and Redis. ``claims`` (view, age, sex, as the caller said them) stay out; a spool's sidecar has
them for as long as its payload.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from services.jobs.errors import RecordCorrupt
from services.jobs.ledger.entries import AuditEvent, Note
from services.jobs.records import Job
from services.jobs.stored import Result, load_job

_JOB: TypeAdapter[Job] = TypeAdapter(Job)


class LedgeredDecision(BaseModel):
    """One outcome of one film, as its hash in Redis had it. Parsed strictly, as everything that becomes a record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: Job
    result: Result
    done_ms: int
    taken_ms: int | None
    attempts: int
    done_by: str
    counted: str | None


def decision_of(fields: list[Any]) -> LedgeredDecision:
    """Return what ``ledger_lease.lua`` says of a decision, without its member; raise ``RecordCorrupt`` on damage."""
    job, result, done_ms, taken_ms, attempts, done_by, counted = fields
    try:
        return LedgeredDecision(
            job=load_job(job),
            result=Result.model_validate_json(result),
            done_ms=done_ms,
            taken_ms=taken_ms,
            attempts=attempts,
            done_by=done_by,
            counted=counted,
        )
    except (ValidationError, TypeError) as error:
        raise RecordCorrupt("a stored decision cannot be read") from error


def finished(decision: LedgeredDecision) -> Note:
    """Return the entry that a decision becomes."""
    job, result = decision.job, decision.result
    facts = {
        "film": job.id,
        "study": job.study_uid,
        "site": job.site,
        "outcome": result.outcome,
        "code": result.reason,
        "digest": result.model.digest if result.model is not None else None,
        "decision": {
            **decision.model_dump(mode="json", exclude={"job"}),
            "job": _JOB.dump_python(job, mode="json", exclude={"claims"}),
        },
    }
    return Note(event=AuditEvent.FINISHED, facts=facts)


def read_decision(line: bytes) -> LedgeredDecision:
    """Return the decision in a ``FINISHED`` line; raise ``RecordCorrupt`` on anything else."""
    try:
        entry = json.loads(line)
        decision = LedgeredDecision.model_validate(entry["decision"])
    except (ValueError, LookupError, TypeError) as error:
        raise RecordCorrupt("a decision in the audit trail cannot be read") from error
    if decision.job.id != entry.get("film") or decision.result.outcome != entry.get("outcome"):
        raise RecordCorrupt("a decision in the audit trail contradicts itself")
    return decision
