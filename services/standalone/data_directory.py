"""The directory that a stack lives in, what lies where in it, and the one that its Redis' socket lives in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
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
# Where the private Redis listens, for the operator's commands; the path is too long to have the socket here.
_SOCKET_NOTE: Final = "redis.socket"
_CONNECT_SECONDS: Final = 2.0


def settings_in(data_dir: Path) -> dict[str, str]:
    """Return the settings that say what lies where in a stack's directory; the environment may name other places."""
    places = {"CXR_SPOOL_DIRECTORY": "spool", "CXR_AUDIT_DIRECTORY": "audit", "CXR_WORKER_BUNDLE_STORE": "bundles"}
    return {name: str((data_dir / place).resolve()) for name, place in places.items()}


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


@contextlib.contextmanager
def announced_socket(data_dir: Path, path: Path) -> Iterator[None]:
    """Leave a note in the directory of where its Redis listens while the block runs.

    Raises
    ------
    SettingsError
        If the note cannot be written.
    """
    note = data_dir / _SOCKET_NOTE
    staging = note.with_name(f".{note.name}.partial")
    try:
        staging.write_text(f"{path}\n", encoding="utf-8")
        staging.replace(note)
    except OSError as error:
        raise SettingsError(f"cannot use the data directory {data_dir}: {error.strerror}") from error
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def socket_of(data_dir: Path) -> Path:
    """Return the socket of the Redis of the stack that runs in this directory.

    Raises
    ------
    SettingsError
        If none runs here: there is no note of it, or nobody listens where it points (a stack that was killed leaves
        its note behind).
    """
    try:
        path = Path((data_dir / _SOCKET_NOTE).read_text(encoding="utf-8").strip())
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_CONNECT_SECONDS)
            probe.connect(str(path))
    except OSError as error:
        raise SettingsError(
            f"no stack with a Redis of its own is running in {data_dir}; start it with `cxr-triage up`, "
            "or set CXR_REDIS_URL to the Redis that it uses"
        ) from error
    return path
