"""What it is to deliver a film to this service: post it, follow it to its outcome, by the HTTP contract (DESIGN §6).

Must not know when films are sent; ``load`` does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError

from services.bench.connections import Answer, ConnectionPool, Undelivered
from services.bench.films import Films
from services.bench.load import Ending
from services.jobs.records import JobState, Priority, Record

_WAIT_SECONDS: Final = 20
_ACCEPTED: Final = 202
# A sender that is asked to wait longer would only sit out the rest of the run.
_LONGEST_PAUSE_SECONDS: Final = 5.0
# A service that is away for a moment is not asked thousands of times meanwhile.
_UNREACHABLE_PAUSE_SECONDS: Final = 0.5


class Follow(StrEnum):
    """How a film's outcome is asked for."""

    POLL = "poll"  # 202 first, then long polls: shows when a film is taken and when it is decided
    WAIT = "wait"  # one request that waits for the outcome, as a caller of a model server has it
    NONE = "none"  # until it is taken


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """What is asked of the service for each film."""

    follow: Follow = Follow.POLL
    priority: Priority = Priority.ROUTINE
    site: str | None = None
    patience_seconds: float = 120.0


class TriageTarget:
    """Delivers films, one call each."""

    def __init__(self, pool: ConnectionPool, films: Films, options: TargetOptions) -> None:
        self._pool = pool
        self._films = films
        self._options = options
        query: dict[str, str | int] = {"priority": options.priority}
        if options.site is not None:
            query["site"] = options.site
        if options.follow is Follow.WAIT:
            query["wait"] = _WAIT_SECONDS
        self._post = f"/v1/instances?{urlencode(query)}"

    async def deliver(self, number: int) -> Ending:
        """Send film ``number`` and return what became of it; errors are endings too."""
        media_type, payload = self._films.film(number)
        try:
            answer = await self._pool.request("POST", self._post, headers={"content-type": media_type}, body=(payload,))
            return await self._followed(answer)
        except Undelivered as error:
            pause = _UNREACHABLE_PAUSE_SECONDS if error.code == "unreachable" else 0.0
            return Ending(kind=error.code, is_good=False, pause_seconds=pause)
        except ValidationError:
            return Ending(kind="no_record", is_good=False)

    async def _followed(self, answer: Answer) -> Ending:
        accepted_at = time.perf_counter()
        if not answer.is_success:
            return _refusal(answer)
        record = Record.model_validate_json(answer.body)
        follow = self._options.follow
        if follow is not Follow.WAIT and answer.status != _ACCEPTED:
            # A film that is new cannot be done already: its stamp did not tell it apart, and nothing was measured.
            return Ending(kind="known_already", is_good=False)
        if follow is Follow.NONE:
            return Ending(kind="accepted", is_good=True, accepted_at=accepted_at)
        deadline = accepted_at + self._options.patience_seconds
        while record.state is not JobState.DONE:
            if time.perf_counter() > deadline:
                return Ending(kind="no_outcome", is_good=False, accepted_at=accepted_at)
            answer = await self._pool.request("GET", f"{record.links.self}?wait={_WAIT_SECONDS}")
            if not answer.is_success:
                return _refusal(answer)
            record = Record.model_validate_json(answer.body)
        # Where one request waits for the outcome nobody saw when the film was taken.
        seen_at = None if follow is Follow.WAIT else accepted_at
        return Ending(kind=_kind(record), is_good=True, accepted_at=seen_at)


def _kind(record: Record) -> str:
    return f"{record.outcome}" if record.reason is None else f"{record.outcome}({record.reason})"


class _Problem(BaseModel):
    """What is read of a problem document (RFC 9457)."""

    code: str


def _refusal(answer: Answer) -> Ending:
    try:
        kind = _Problem.model_validate_json(answer.body).code
    except ValidationError:
        kind = f"http_{answer.status}"
    retry_after = answer.headers.get("retry-after", "")
    pause = min(float(retry_after), _LONGEST_PAUSE_SECONDS) if retry_after.isdecimal() else 0.0
    return Ending(kind=kind, is_good=False, pause_seconds=pause)
