"""A payload on its way in. ``spool`` begins it and keeps it; knows no names and no layout of the directory."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final, Protocol

from services.jobs.disk import Buffer, create, translate_disk_errors, write_all
from services.jobs.errors import SpoolFull, SpoolUnavailable

_WRITE_BYTES: Final = 1024**2  # what is worth a write
_FREE_SPACE_STEP_BYTES: Final = 8 * 1024**2  # an upload looks at the free space again after so many bytes


class Room(Protocol):
    """What an upload asks of the spool that it goes to."""

    def arrive(self, more_bytes: int) -> None:
        """Add to the used bytes; raise SpoolFull where the quota does not allow it."""

    def leave(self, arrived_bytes: int) -> None:
        """Give the bytes of an upload back."""

    def settle(self, arrived_bytes: int) -> None:
        """Take the bytes of an upload for kept."""

    def check_room(self) -> None:
        """Raise SpoolFull where less of the disk is free than agreed."""


class Upload:
    """A payload on its way in: counted and hashed in one pass, invisible until kept.

    An object from ``Spool.begin``. ``size_bytes`` and ``sha256`` are final after the last write. The last bytes stay in
    memory until a mebibyte of them is worth a write; so a small film has no file before it is kept, and one that is
    refused, or known already, never has one.
    """

    def __init__(self, room: Room, path: Path) -> None:
        self._room = room
        self._path = path
        self._digest = hashlib.sha256()
        self._held: list[Buffer] = []
        self._held_bytes = 0
        self._looked_at_bytes = 0
        self._descriptor: int | None = None
        self._is_open = True
        self.size_bytes = 0

    def write(self, *pieces: Buffer) -> int:
        """Append the pieces, which nobody may change afterwards, and return the bytes so far.

        Raises
        ------
        SpoolFull
            If quota or disk are used up; nothing of the upload is left.
        SpoolUnavailable
            If the disk fails; nothing of the upload is left.
        """
        more_bytes = sum(len(piece) for piece in pieces)
        try:
            self._room.arrive(more_bytes)
            self.size_bytes += more_bytes
            if self.size_bytes - self._looked_at_bytes >= _FREE_SPACE_STEP_BYTES:
                self._looked_at_bytes = self.size_bytes
                self._room.check_room()
            for piece in pieces:
                self._digest.update(piece)
            self._held.extend(pieces)
            self._held_bytes += more_bytes
            if self._held_bytes >= _WRITE_BYTES:
                self.flush()
        except (SpoolFull, SpoolUnavailable):
            self.discard()
            raise
        return self.size_bytes

    def flush(self) -> None:
        """Write what is in memory still, into a file that is made where there is none; raises as ``write``."""
        with translate_disk_errors():
            if self._descriptor is None:
                self._descriptor = create(self._path)
            for piece in self._held:
                write_all(self._descriptor, piece)
        self._held = []
        self._held_bytes = 0

    def content(self) -> bytes | Path:
        """Return what ``inspect_header`` reads: all bytes where they are in memory, else the file with all of them."""
        if self._descriptor is None:
            content = b"".join(self._held)
            self._held = [content]
            return content
        self.flush()
        return self._path

    def sha256(self) -> str:
        """Return the hex digest of what was written."""
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Remove the upload; harmless when repeated, and after it was kept."""
        if self._is_open:
            has_file = self._descriptor is not None
            self._close()
            if has_file:
                self._path.unlink(missing_ok=True)
            self._room.leave(self.size_bytes)

    def settle(self, destination: Path) -> None:
        """Make the bytes durable and move them to ``destination``; the spool's part of ``keep``."""
        self.flush()
        assert self._descriptor is not None, "flush makes the file"
        os.fsync(self._descriptor)
        self._path.rename(destination)
        self._close()
        self._room.settle(self.size_bytes)

    def _close(self) -> None:
        self._is_open = False
        self._held = []
        if self._descriptor is not None:
            os.close(self._descriptor)
