"""Associations that were not let in, as the audit trail is told of them: all are counted, not each has a line.

Whoever knocks a thousand times a second must not fill the trail's disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from services.jobs.ledger.entries import AuditEvent
from services.jobs.ledger.trail import AuditTrail

_EVERY_SECONDS: Final = 10.0


class Refusals:
    """Notes one refusal in ten seconds, and with it how many there were since the last note. Thread-safe."""

    def __init__(self, audit: AuditTrail, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._not_before = clock()

    def note(self, *, source: str, code: str) -> None:
        """Count a refusal, and write it down if it is time to."""
        with self._lock:
            self._count += 1
            now = self._clock()
            if now < self._not_before:
                return
            count, self._count, self._not_before = self._count, 0, now + _EVERY_SECONDS
        self._audit.note(AuditEvent.SIGN_IN_FAILED, is_success=False, source=source, code=code, count=count)
