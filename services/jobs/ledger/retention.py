"""Old chains removed: those of ended processes, after their time, and never without a line that says so.

Place in the walk: beside it, once a day in every worker; any number may do it at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from services.jobs.disk import sync_directory
from services.jobs.errors import LedgerUnavailable, QueueUnavailable
from services.jobs.ledger.chain_files import anchors_of, chain_files, head_of, last_line
from services.jobs.ledger.checking import ChainCheck
from services.jobs.ledger.entries import AuditEvent, Note, time_ms_of
from services.jobs.ledger.heads import Heads
from services.jobs.ledger.trail import AuditTrail
from services.jobs.ledger.verify import whole_lines

logger = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 86_400.0
_PATIENCE_SECONDS: Final = 60.0  # for the trail's writer, so that a thread of ours is not held for ever


async def retire_daily(trail: AuditTrail, heads: Heads, keep: timedelta) -> None:
    """Retire old chains now and once a day, for ever; what fails is tried the next day."""
    while True:
        try:
            await retire(trail, heads, keep)
        except (LedgerUnavailable, QueueUnavailable, OSError) as error:
            facts = {"action": "audit_retention_failed", "error": type(error).__name__}
            logger.warning("old audit chains stay", extra=facts)
        await asyncio.sleep(_EVERY_SECONDS)


async def retire(trail: AuditTrail, heads: Heads, keep: timedelta) -> int:
    """Remove the chains whose last entry is older than ``keep``; return how many.

    A durable ``CHAIN_RETIRED`` names file and last entry before the file goes, so that its absence is explained.

    Raises
    ------
    LedgerUnavailable, OSError
        If that cannot be written, or the file not removed; the rest stays.
    QueueUnavailable
        If Redis cannot be told; the file stays, and is retired the next time.
    """
    before_ms = int(1000 * (time.time() - keep.total_seconds()))
    retired = 0
    for path in await asyncio.to_thread(chain_files, trail.directory):
        # In a thread, every step of it: a disk that hangs must not stop the films.
        if await asyncio.to_thread(_explain, trail, path, before_ms):
            await heads.forget(path.name)  # first: what Redis names is missed, whatever a line says
            await asyncio.to_thread(_remove, path)
            retired += 1
    return retired


def _explain(trail: AuditTrail, path: Path, before_ms: int) -> bool:
    """Write down that a chain is retired, if its process has ended and its time is over; return whether that is so."""
    with _chain_of_an_ended_process(path) as is_ended:
        if not is_ended or _ended_ms(path) >= before_ms:
            return False
        head = head_of(path)
        facts = {"file": path.name, "last": None if head is None else str(head)}
        retiring = Note(event=AuditEvent.CHAIN_RETIRED, facts=facts)
        trail.append([*_explanations_in(path), retiring]).result(_PATIENCE_SECONDS)
    return True


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)  # others may retire it at the same time
    sync_directory(path.parent)


def _explanations_in(path: Path) -> list[Note]:
    """Return again what a sound chain says of retired files that others still name, or they would be missed after it.

    A process that runs for years names at its start a file that was retired since, by one that was retired since.
    """
    check, explained = ChainCheck(path.name, ()), []
    for line in whole_lines(path, []):
        place = check.see(line)
        if place is not None and place.event == AuditEvent.CHAIN_RETIRED:
            explained.append(json.loads(line))
    if not explained or check.findings:
        return []
    others = (other for other in chain_files(path.parent) if other != path)
    named = {name for other in others for name in anchors_of(other)}
    return [
        Note(
            event=AuditEvent.CHAIN_RETIRED,
            is_success=entry["success"],
            facts={fact: entry.get(fact) for fact in ("file", "last", "code")},
        )
        for entry in explained
        if entry.get("file") in named
    ]


async def accept_loss(trail: AuditTrail, heads: Heads, file: str) -> None:
    """Write down that a chain is gone and will not come back, and take it off Redis' list; ``verify`` is content then.

    Raises
    ------
    LedgerUnavailable
        If that cannot be written; nothing has changed.
    QueueUnavailable
        If Redis cannot be told; the command may be repeated.
    """
    known = (await heads.known()).get(file)
    facts = {"file": file, "last": None if known is None else str(known), "code": "loss_accepted"}
    await asyncio.wrap_future(trail.append([Note(event=AuditEvent.CHAIN_RETIRED, is_success=False, facts=facts)]))
    await heads.forget(file)


@contextmanager
def _chain_of_an_ended_process(path: Path) -> Iterator[bool]:
    """Hold a chain's lock and say so; its process holds it as long as it lives, and another that retires it too."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _is_free(descriptor)
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    """Take the lock, which closing gives back; return whether nobody had it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ended_ms(path: Path) -> int:
    """Return when the last entry was written; of a chain without one, when the file was."""
    line = last_line(path)
    try:
        return time_ms_of(line) if line is not None else int(1000 * path.stat().st_mtime)
    except (ValueError, LookupError, TypeError):
        return int(1000 * path.stat().st_mtime)
