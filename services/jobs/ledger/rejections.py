"""Rejection notes read back from the trail: which objects of which site were taken back.

Streams every chain that may hold one, as ``reading`` does, and keeps names only. Must not know Redis.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from services.jobs.ledger.entries import AuditEvent, Head, Place, time_ms_of
from services.jobs.ledger.verify import verify

logger = logging.getLogger(__name__)


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
    lines: dict[str, list[bytes]] = defaultdict(list)

    def collect(path: Path, place: Place, line: bytes) -> None:
        if place.event == AuditEvent.REJECTED and time_ms_of(line) >= since_ms:
            lines[path.name].append(line)

    report = verify(directory, heads, on_entry=collect, since_ms=since_ms)
    for unsound in {finding.file for finding in report.findings}:
        lines.pop(unsound, None)
    objects: dict[str, set[str]] = defaultdict(set)
    for line in (line for of_file in lines.values() for line in of_file):
        try:
            entry = _Rejected.model_validate_json(line)
        except ValidationError:
            logger.error("a ledgered rejection cannot be read", extra={"action": "ledger_unreadable"})
            continue
        objects[entry.site].update(entry.objects)
    return objects
