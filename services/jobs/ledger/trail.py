"""The process' hand in the audit trail: whoever does something worth writing down notes it here and goes on.

Owns the writer thread and what waits for it. Nothing that serves a film ever waits for the disk: notes are buffered
within a bound, and their loss is an entry itself. Must not know Redis; the ``outbox`` does.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.jobs.errors import LedgerUnavailable
from services.jobs.ledger.chain import Chain
from services.jobs.ledger.entries import AuditEvent, Head, Note
from services.jobs.settings import AuditSettings

logger = logging.getLogger(__name__)

BUFFERED_NOTES: Final = 10_000  # about 7 MB
_GROUP: Final = 500
_RETRY_SECONDS: Final = 1.0
_LAST_WORDS_SECONDS: Final = 5.0


class AuditTrail:
    """Takes notes from any thread; a thread of its own appends and syncs them in groups.

    Notes are taken before ``start``, too, and written from then on.
    """

    def __init__(self, directory: Path, service: str, *, buffered_notes: int = BUFFERED_NOTES) -> None:
        self._directory = directory
        self._chain = Chain(directory, service)
        self._most = buffered_notes
        self._changed = threading.Condition()
        self._notes: deque[Note] = deque()
        self._orders: deque[tuple[Sequence[Note], Future[tuple[str, Head]]]] = deque()
        self._dropped = 0
        self._position: tuple[str, Head] | None = None
        self._is_ending = False
        self._is_writable = True
        self._writer: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write; what was noted before waits until then. Does not fail where the disk does."""
        self._is_ending = False
        self._writer = threading.Thread(target=self._run, name="audit-trail", daemon=True)
        self._writer.start()

    def close(self, *, is_in_order: bool = True) -> None:
        """Write what waits, if the disk takes it within seconds, and ``STOPPED`` where the process ends in order.

        Blocks for so long.
        """
        if is_in_order:
            self.note(AuditEvent.STOPPED)
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        if self._writer is not None:
            self._writer.join(_LAST_WORDS_SECONDS)

    @property
    def directory(self) -> Path:
        """Where the chains lie."""
        return self._directory

    @property
    def position(self) -> tuple[str, Head] | None:
        """The chain's file and its last durable entry; ``None`` before the first one."""
        with self._changed:
            return self._position

    @property
    def is_writable(self) -> bool:
        """Whether the last attempt to write succeeded, and there will be another."""
        return self._is_writable and not self._is_ending

    @property
    def waiting(self) -> int:
        """How many notes are not on the disk yet."""
        with self._changed:
            return len(self._notes)

    def note(
        self,
        event: AuditEvent,
        *,
        is_success: bool = True,
        who: str | None = None,
        source: str | None = None,
        film_id: str | None = None,
        study_uid: str | None = None,
        site: str | None = None,
        code: str | None = None,
        digest: str | None = None,
        count: int | None = None,
    ) -> None:
        """Write this down soon. Never waits, never raises; without room the note is dropped and counted.

        Parameters
        ----------
        who
            Id of the key that was used; ``None`` for an open gateway or a process of ours.
        source
            IP address of the caller.
        code
            A reason or an error code of ours.
        digest
            sha256 that the event speaks of: a bundle's manifest, a file.
        """
        facts = {"film": film_id, "study": study_uid, "site": site, "who": who, "source": source}
        self.note_facts(
            Note(event=event, is_success=is_success, facts={**facts, "code": code, "digest": digest, "count": count})
        )

    def note_facts(self, note: Note) -> None:
        """Write down an event that has words of its own. Never waits, never raises."""
        with self._changed:
            if len(self._notes) >= self._most:
                self._dropped += 1
            else:
                self._notes.append(note)
            self._changed.notify()

    def append(self, notes: Sequence[Note]) -> Future[tuple[str, Head]]:
        """Write these down, and say so when they are durable: the chain's file and its last entry.

        Fails with ``LedgerUnavailable`` where the disk does not take them; nothing of them is written then, and the
        caller, who has them elsewhere, comes again.
        """
        done: Future[tuple[str, Head]] = Future()
        with self._changed:
            if self._is_ending or self._writer is None:
                done.set_exception(LedgerUnavailable("the audit trail is closed"))
            else:
                self._orders.append((notes, done))
                self._changed.notify()
        return done

    # -- the writer's thread ---------------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            self._write_all()
        finally:
            # Also where a fault of ours ends the thread, which is logged as uncaught: nobody may wait for it then.
            with self._changed:
                self._is_ending = True
                orders = [done for _, done in self._orders]
            for done in orders:
                if done.running() or done.set_running_or_notify_cancel():
                    done.set_exception(LedgerUnavailable("the audit trail is closed"))
            self._chain.close()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                is_ending = self._is_ending
            is_written = self._write_notes()
            self._fill_orders()
            if is_ending and (not is_written or not self._has_work_left()):
                break
            if not is_written:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_ending, _RETRY_SECONDS)
        if lost := self.waiting + self._dropped:
            logger.error("audit entries lost", extra={"action": "audit_entries_lost", "count": lost})

    def _has_work(self) -> bool:
        has_begun = self._position is not None
        return bool(self._notes or self._orders or self._is_ending or not has_begun)

    def _has_work_left(self) -> bool:
        with self._changed:
            return bool(self._notes or self._orders)

    def _write_notes(self) -> bool:
        """Write one group of notes; return whether the disk took it."""
        with self._changed:
            group = [self._notes[at] for at in range(min(_GROUP, len(self._notes)))]
            dropped = self._dropped
        if dropped:
            group.append(Note(event=AuditEvent.EVENTS_LOST, is_success=False, facts={"count": dropped}))
        if not group and self.position is not None:
            return True
        try:
            self._append(group)
        except OSError as error:
            self._report(error)
            return False
        with self._changed:
            for _ in range(len(group) - bool(dropped)):
                self._notes.popleft()
            self._dropped -= dropped
        return True

    def _fill_orders(self) -> None:
        while True:
            with self._changed:
                if not self._orders:
                    return
                notes, done = self._orders[0]
            if done.set_running_or_notify_cancel():  # else who ordered it has gone, and comes again
                try:
                    done.set_result(self._append(notes))
                except OSError as error:
                    self._report(error)
                    done.set_exception(LedgerUnavailable(f"the audit trail cannot be written: {type(error).__name__}"))
            with self._changed:
                self._orders.popleft()  # only now: whoever waits for it is answered whatever ends this thread

    def _append(self, notes: Sequence[Note]) -> tuple[str, Head]:
        head = self._chain.append(notes)
        assert self._chain.name is not None
        position = (self._chain.name, head)
        with self._changed:
            self._position = position
        if not self._is_writable:
            self._is_writable = True
            logger.warning("audit trail writable again", extra={"action": "audit_writable"})
        return position

    def _report(self, error: OSError) -> None:
        if self._is_writable:
            self._is_writable = False
            facts = {"action": "audit_unwritable", "error": type(error).__name__, "errno": error.errno}
            logger.error("audit trail not writable", extra=facts)


@contextmanager
def open_trail(settings: AuditSettings, service: str) -> Iterator[AuditTrail]:
    """Open the trail of this process: ``service`` is ``api``, ``worker``, ``cli``. Does not fail where the disk does.

    For commands; gateway and worker use ``running_trail``, which tells Redis how far the chain is durable.
    """
    trail = AuditTrail(settings.directory, service)
    trail.start()
    is_in_order = False
    try:
        yield trail
        is_in_order = True
    finally:
        trail.close(is_in_order=is_in_order)
