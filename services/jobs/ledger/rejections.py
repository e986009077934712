"""Rejection notes read back from the trail: which objects of which site were taken back.

Streams every chain that may hold one, as ``reading`` does, and keeps names only. Must not know Redis.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from services.jobs.ledger.entries import AuditEvent, Head
from services.jobs.ledger.facts import read_facts


class _Rejected(BaseModel):
    """What an entry says that matters here."""

    site: str
    objects: tuple[str, ...]


def read_rejections(directory: Path, heads: Mapping[str, Head] | None, *, since_ms: int) -> dict[str, set[str]]:
    """Return the SOPInstanceUIDs that notes since then name, by site.

    A chain with any finding says nothing at all: a line that somebody added would take films off every list.

    Raises
    ------
    LedgerUnavailable
        If the directory cannot be read.
    """
    objects: dict[str, set[str]] = defaultdict(set)
    for entry in read_facts(directory, heads, event=AuditEvent.REJECTED, facts=_Rejected, since_ms=since_ms):
        objects[entry.site].update(entry.objects)
    return objects
