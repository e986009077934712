"""The directory that a stack lives in, and the one that its socket lives in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from services.jobs.settings import SettingsError

# A stack that was killed a moment ago still holds the lock through its Redis, which is writing its last.
_LOCK_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.05
_LONGEST_SOCKET_DIRECTORY: Final = 80  # sun_path of a unix socket holds 107 bytes


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[int]:
    """Make the directory where it is absent, and hold its lock; yield the lock's descriptor.

    Raises
    ------
    SettingsError
        If the directory cannot be made, or another stack lives in it: two Redis on the same files destroy them.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(f"cannot use the data directory {data_dir}: {error.strerror}") from error
    try:
        _acquire(descriptor, data_dir)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, data_dir: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                message = f"another stack is running in {data_dir}; stop it, or choose another --data-dir"
                raise SettingsError(message) from error
            time.sleep(_POLL_SECONDS)
        else:
            return


@contextlib.contextmanager
def socket_directory() -> Iterator[Path]:
    """Yield a directory that only this user can enter, with a path short enough for a unix socket; removed after."""
    parent = "/tmp" if len(tempfile.gettempdir()) > _LONGEST_SOCKET_DIRECTORY else None  # noqa: S108 - mkdtemp makes it private
    with tempfile.TemporaryDirectory(prefix="cxr-", dir=parent, ignore_cleanup_errors=True) as directory:
        yield Path(directory)
