"""One chain: a file of this process to which entries are appended, each durable before anybody hears of it.

Never reopened: another start is another file, so a torn last line is always the end of one. Not thread-safe; the
trail's writer owns it. What a crash can leave behind: entries that were not synced, and a torn last line.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from services.jobs.disk import sync_directory, write_all
from services.jobs.ledger.chain_files import SUFFIX, unanchored_heads
from services.jobs.ledger.entries import EMPTY, AuditEvent, Head, Note, digest_of, line_of, utc_now

LARGEST_BYTES: Final = 64 * 1024**2


class Chain:
    """The file ``<service>-<host>-<start>-<pid>-<8 hex>.jsonl``, 0600, in a directory of 0700.

    Made by the first ``append``. Continued in another file, which vouches for it, when it is large, so that retention
    and restoring find years of one process in pieces; and where somebody took file or directory away.
    """

    def __init__(self, directory: Path, service: str, *, largest_bytes: int = LARGEST_BYTES) -> None:
        self._directory = directory
        self._service = service
        self._largest_bytes = largest_bytes
        self._path: Path | None = None
        self._before: str | None = None
        self._descriptor = -1
        self._size_bytes = 0
        self._head = EMPTY

    @property
    def name(self) -> str | None:
        """The file's name, once there is one."""
        return self._path.name if self._path is not None else None

    def append(self, notes: Sequence[Note]) -> Head:
        """Write the notes and sync; return the new last entry.

        Raises
        ------
        OSError
            If the disk does not take them; nothing of them is left then, or is removed before the next attempt.
        """
        if self._path is None or not self._is_in_place(self._path) or self._size_bytes >= self._largest_bytes:
            self._before = self.name or self._before  # kept where the disk refuses the next file for a while
            self._begin(continues=self._before)
        self._write(notes)
        return self._head

    def close(self) -> None:
        """Let go of the file; another process may then retire it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self, *, continues: str | None) -> None:
        self.close()
        self._path = None
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(self._directory.parent)
        path = self._directory / _file_name(self._service)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        # Held as long as this process lives: by it others know that the file is not to be retired.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._size_bytes, self._head = 0, EMPTY
        try:
            anchors = {name: str(head) for name, head in unanchored_heads(self._directory, besides=path.name).items()}
            facts = {"version": version("cxr-triage"), "continues": continues, "chains": anchors}
            self._write([Note(event=AuditEvent.STARTED, facts=facts)])
            sync_directory(self._directory)
        except OSError:
            # Not a chain that anybody has to look for: nothing was vouched for yet.
            with suppress(OSError):
                path.unlink()
            self.close()
            raise
        self._path = path

    def _write(self, notes: Sequence[Note]) -> None:
        head, lines = self._head, []
        for note in notes:
            line = line_of(note, service=self._service, after=head)
            head = Head(seq=head.seq + 1, digest=digest_of(line))
            lines.append(line + b"\n")
        content = b"".join(lines)
        # What a failed attempt left; and pages that a failed sync gave up are written again this way.
        os.ftruncate(self._descriptor, self._size_bytes)
        try:
            write_all(self._descriptor, content)
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size_bytes)
            raise
        self._size_bytes += len(content)
        self._head = head

    def _is_in_place(self, path: Path) -> bool:
        """Return whether the name still leads to the file that is held: not deleted, not replaced."""
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False


def _file_name(service: str) -> str:
    host = re.sub(r"[^A-Za-z0-9.]", "-", socket.gethostname())[:40]
    started = f"{utc_now():%Y%m%dT%H%M%S}Z"
    return f"{service}-{host}-{started}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
