"""Decisions read back from the trail: those of wanted films, in the order in which they were made.

Streams every chain that may hold one, and checks it on the way; keeps only what is wanted. Must not know Redis.
"""

from __future__ import annotations

import logging
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.jobs.errors import RecordCorrupt
from services.jobs.ledger.checking import Damage
from services.jobs.ledger.decisions import LedgeredDecision, read_decision
from services.jobs.ledger.entries import AuditEvent, Head, Place, time_ms_of
from services.jobs.ledger.verify import Verification, verify

logger = logging.getLogger(__name__)

_OPENED_AGAIN: Final = frozenset({AuditEvent.RESCORED, AuditEvent.REQUEUED})


@dataclass(frozen=True, kw_only=True)
class LedgeredFilm:
    """What the trail says of one film.

    Attributes
    ----------
    decisions
        Oldest first; the last one stands.
    opened_ms
        When somebody had it scored again, each time, oldest first.
    """

    decisions: tuple[LedgeredDecision, ...]
    opened_ms: tuple[int, ...]

    @property
    def is_open(self) -> bool:
        """Whether it was to be scored again, and was not yet: its last decision does not stand."""
        if not self.opened_ms:
            return False
        # Counted besides, because the clocks of the host that opened it and of the Redis that closed it may differ.
        # Whoever asked twice before it was scored opened it once.
        done_ms = [decision.done_ms for decision in self.decisions]
        times_opened = len({bisect(done_ms, time_ms) for time_ms in self.opened_ms})
        return self.opened_ms[-1] > done_ms[-1] or times_opened >= len(done_ms)

    def replaced_ms(self, past: LedgeredDecision, after: LedgeredDecision) -> int:
        """Return when a decision was given up for the one ``after`` it: when the film was opened again, if known."""
        opened = [time_ms for time_ms in self.opened_ms if past.done_ms <= time_ms <= after.done_ms]
        return opened[-1] if opened else after.done_ms


def read_films(
    directory: Path,
    heads: Mapping[str, Head] | None,
    *,
    is_wanted: Callable[[str], bool],
    since_ms: int = 0,
) -> tuple[Verification, dict[str, LedgeredFilm]]:
    """Return what the sound chains say of the wanted films, and what speaks against the others.

    A chain with any finding says nothing at all: what was changed in it cannot be told from what was not.

    Parameters
    ----------
    since_ms
        Chains that ended before are not read; whose end nobody vouches for is read all the same.

    Raises
    ------
    LedgerUnavailable
        If the directory cannot be read.
    """
    report, films = _read(directory, heads, is_wanted, since_ms)
    if since_ms and any(finding.damage is Damage.MISSING_FILE for finding in report.findings):
        # What explains it may stand in a chain that was left alone.
        return _read(directory, heads, is_wanted, 0)
    return report, films


def _read(
    directory: Path, heads: Mapping[str, Head] | None, is_wanted: Callable[[str], bool], since_ms: int
) -> tuple[Verification, dict[str, LedgeredFilm]]:
    # Lines stay bytes until the end: they take a fraction of the memory of what they say.
    finished: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    opened: dict[str, list[tuple[str, bytes]]] = defaultdict(list)

    def collect(path: Path, place: Place, line: bytes) -> None:
        if place.film_id is None or not is_wanted(place.film_id):
            return
        if place.event == AuditEvent.FINISHED:
            finished[place.film_id].append((path.name, line))
        elif place.event in _OPENED_AGAIN:
            opened[place.film_id].append((path.name, line))

    report = verify(directory, heads, on_entry=collect, since_ms=since_ms)
    unsound = {finding.file for finding in report.findings}
    films = {}
    for film_id in list(finished):
        lines = [line for file, line in finished.pop(film_id) if file not in unsound]
        decisions = _decisions(lines)
        if decisions:
            times = sorted(time_ms_of(line) for _, line in opened.get(film_id, []))
            films[film_id] = LedgeredFilm(decisions=decisions, opened_ms=tuple(times))
    return report, films


def _decisions(lines: list[bytes]) -> tuple[LedgeredDecision, ...]:
    """Return the decisions by time; one that two workers wrote is one."""
    found: dict[int, LedgeredDecision] = {}
    for line in lines:
        try:
            decision = read_decision(line)
        except RecordCorrupt as error:
            logger.error(
                "a ledgered decision cannot be read", extra={"action": "ledger_unreadable", "code": error.code}
            )
            return ()
        found[decision.done_ms] = decision
    return tuple(found[done_ms] for done_ms in sorted(found))
