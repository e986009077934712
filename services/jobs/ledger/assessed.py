"""Assessments in the trail, and read back from it: what readers said outlives a Redis that lost everything.

Streams every chain that may hold one, as ``reading`` does. Must not know Redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from services.jobs.ledger.entries import AuditEvent, Head, Note
from services.jobs.ledger.facts import read_facts
from services.jobs.standings import Assessment, StandingRecord


class _Line(BaseModel):
    """What an entry says that matters here."""

    assessment: Assessment
    standing: StandingRecord


def note_of(assessment: Assessment, standing: str, *, address: str) -> Note:
    """Return the entry that an assessment becomes; ``standing`` is what the study counted as, as Redis has it."""
    facts = {
        "study": assessment.study_uid,
        "site": assessment.site,
        "who": assessment.who,
        "source": address,
        "assessment": assessment.model_dump(mode="json"),
        "standing": StandingRecord.model_validate_json(standing).model_dump(mode="json", by_alias=True),
    }
    return Note(event=AuditEvent.ASSESSED, facts=facts)


def read_assessments(
    directory: Path, heads: Mapping[str, Head] | None, *, since_ms: int
) -> list[tuple[Assessment, StandingRecord]]:
    """Return what was said of studies since then, in that order, and what each study counted as.

    A chain with any finding says nothing at all: a line that somebody added could hide what is missed.

    Raises
    ------
    LedgerUnavailable
        If the directory cannot be read.
    """
    entries = read_facts(directory, heads, event=AuditEvent.ASSESSED, facts=_Line, since_ms=since_ms)
    found = [(entry.assessment, entry.standing) for entry in entries]
    # Those of one millisecond stay as their chain has them: the last one counts.
    return sorted(found, key=lambda one: one[0].at_ms)
