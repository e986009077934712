"""How targets stand, and what was given up for them: what an operator is told of the outbox.

Values alone. ``delivery_outbox`` reads them from Redis; ``cxr-triage delivery`` and the gauges of delivery show them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A decision that was given up for a target.

    Attributes
    ----------
    reason
        A code of ours.
    owed_since_ms, dead_ms
        Milliseconds since the epoch by Redis' clock.
    is_payload_kept
        Whether the film is here still, of which report and overlay are made. A webhook needs none.
    """

    member: str
    film_id: str
    commit: int
    reason: str
    attempts: int
    owed_since_ms: int | None
    dead_ms: int
    is_payload_kept: bool


@dataclass(frozen=True, kw_only=True)
class TargetStanding:
    """How a target stands that is, or once was, announced.

    ``oldest_owed_ms`` is since when the longest owed decision is; ``None`` where nothing is owed.
    """

    name: str
    is_announced: bool
    disabled_reason: str | None
    due: int
    dead: int
    oldest_owed_ms: int | None
    now_ms: int


@dataclass(frozen=True, kw_only=True)
class Requeued:
    """How many dead letters are due again, and of how many of them the payload is past retention."""

    count: int
    without_payload: int


def dead_letter_of(member: str, *, dead_ms: int, note: str | None, is_payload_kept: bool) -> DeadLetter:
    """Return what is noted of a dead letter; one whose note is damaged is still one."""
    film_id, _, commit = member.partition(":")
    try:
        noted = cast(dict[str, Any], json.loads(note or "{}"))
    except ValueError:
        noted = {}
    since = noted.get("since_ms")
    return DeadLetter(
        member=member,
        film_id=film_id,
        commit=int(commit),
        reason=str(noted.get("reason", "unknown")),
        attempts=int(noted.get("attempts", 0)),
        owed_since_ms=int(since) if since else None,
        dead_ms=dead_ms,
        is_payload_kept=is_payload_kept,
    )
