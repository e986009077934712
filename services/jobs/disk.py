"""Writing files so that a power cut does not take them back; and the wall where the disk's errors become ours.

Knows no payloads and no names; the spool does.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from services.jobs.errors import SpoolFull, SpoolUnavailable

Buffer: TypeAlias = bytes | bytearray | memoryview

# ext4 takes page cache in blocks as large as a write. In a guest whose hypervisor takes free memory back (virtio's free
# page reporting) large blocks are often not there any more, and each of their pages costs a fault of the host
# (docs/decisions/0021-gateway-cost.md has figures). Elsewhere smaller pieces cost next to nothing.
_PIECE_BYTES = 64 * 1024
_PRIVATE = 0o700
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Turn an ``OSError`` into SpoolFull where there is no room, into SpoolUnavailable otherwise."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise SpoolFull("the disk is full") from error
        raise SpoolUnavailable(f"the spool does not work: {type(error).__name__} {error.errno}") from error


def make_private(directory: Path) -> None:
    """Make a directory that only we can enter; one that is so already may lie on a disk that is mounted read-only."""
    directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    if stat.S_IMODE(directory.stat().st_mode) != _PRIVATE:
        directory.chmod(_PRIVATE)


def create(path: Path) -> int:
    """Create a file that only we can read, and return its descriptor; it must not exist."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def write_all(descriptor: int, content: Buffer) -> None:
    """Write everything: a disk that runs full takes a part first, and only the next write tells."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view[:_PIECE_BYTES]) :]


def write_durably(path: Path, content: bytes) -> None:
    """Make a new file, and its bytes durable; its name is not. Who looks meanwhile may find a part of it."""
    descriptor = create(path)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes, *, draft: Path) -> None:
    """Put a file into place whole for every reader; a power cut may still damage it. No draft is left on an error."""
    descriptor = create(draft)
    try:
        write_all(descriptor, content)
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_bytes(path: Path) -> int:
    """Return a file's size; 0 where there is none, because others may have removed it."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def delete(path: Path) -> int:
    """Delete a file and return its size; 0 where it had gone already."""
    try:
        freed_bytes = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return freed_bytes
