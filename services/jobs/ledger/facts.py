"""Entries of one kind read back from the trail, each as the facts that matter to its reader.

Streams every chain that may hold one, and keeps nothing of a chain that anything speaks against. Must not know Redis.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from services.jobs.ledger.entries import AuditEvent, Head, Place, time_ms_of
from services.jobs.ledger.verify import verify

logger = logging.getLogger(__name__)

_Facts = TypeVar("_Facts", bound=BaseModel)


def read_facts(
    directory: Path,
    heads: Mapping[str, Head] | None,
    *,
    event: AuditEvent,
    facts: type[_Facts],
    since_ms: int = 0,
) -> Iterator[_Facts]:
    """Return what the entries of an event say since then, chain by chain, in order.

    A chain with any finding says nothing at all, and is told of: nobody knows which of its lines somebody added.

    Raises
    ------
    LedgerUnavailable
        If the directory cannot be read.
    """
    lines: dict[str, list[bytes]] = defaultdict(list)

    def collect(path: Path, place: Place, line: bytes) -> None:
        if place.event == event and time_ms_of(line) >= since_ms:
            lines[path.name].append(line)

    report = verify(directory, heads, on_entry=collect, since_ms=since_ms)
    for unsound in {finding.file for finding in report.findings}:
        if passed_over := lines.pop(unsound, None):
            told = {"action": "ledger_unsound", "event": event, "file": unsound, "count": len(passed_over)}
            logger.error("an unsound chain's entries are not given back", extra=told)
    return _parsed((line for of_file in lines.values() for line in of_file), event, facts)


def _parsed(lines: Iterator[bytes], event: AuditEvent, facts: type[_Facts]) -> Iterator[_Facts]:
    for line in lines:
        try:
            yield facts.model_validate_json(line)
        except ValidationError:
            logger.error("a ledgered entry cannot be read", extra={"action": "ledger_unreadable", "event": event})
