"""A film that Redis has lost, in the words in which ``restore.lua`` takes it. Must not know files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

from services.jobs.ledger.decisions import LedgeredDecision
from services.jobs.ledger.reading import LedgeredFilm
from services.jobs.queue.scripted import OUR_FAULT
from services.jobs.records import Job
from services.jobs.stored import dump_job


@dataclass(frozen=True)
class LostFilm:
    """A film to restore: how it came in, what the trail says of it, and whether its payload is there."""

    job: Job
    film: LedgeredFilm
    has_payload: bool

    def arguments(self) -> list[str | int]:
        """Return the arguments of ``restore.lua``."""
        job, decision = self.job, self.film.decisions[-1]
        result = decision.result
        return [
            *(job.id, dump_job(job), job.payload if self.has_payload else "", job.priority, job.site, job.study_uid),
            *(job.submitted_ms, job.payload_bytes),
            *(result.outcome, result.reason or "", int(result.reason in OUR_FAULT), result.model_dump_json()),
            *(decision.counted or "", decision.done_ms, decision.done_by),
            *("" if decision.taken_ms is None else decision.taken_ms, decision.attempts),
            *_history(self.film),
        ]


def _history(film: LedgeredFilm) -> list[str]:
    """Return the earlier decisions as ``rescore.lua`` keeps them, oldest first."""
    return [_entry(past, film.replaced_ms(past, after)) for past, after in pairwise(film.decisions)]


def _entry(past: LedgeredDecision, replaced_ms: int) -> str:
    entry: dict[str, str] = {
        "result": past.result.model_dump_json(),
        "done_ms": str(past.done_ms),
        "attempts": str(past.attempts),
        "done_by": past.done_by,
        "replaced_ms": str(replaced_ms),
    }
    entry |= {"counted": past.counted} if past.counted is not None else {}
    entry |= {"taken_ms": str(past.taken_ms)} if past.taken_ms is not None else {}
    return json.dumps(entry)
