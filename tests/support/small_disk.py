"""A disk that is soon full: a tmpfs of a few megabytes, which can be enlarged while it is in use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

_ANSWER_SECONDS: Final = 10.0


class SmallDisk:
    """A mounted tmpfs. ``directory`` is where other processes of this user find it."""

    def __init__(self, directory: Path, mount_point: Path, enter: tuple[str, ...]) -> None:
        self.directory = directory
        self._mount_point = mount_point
        self._enter = enter

    def leave_free(self, free_bytes: int) -> None:
        """Fill the disk with ballast up to so much."""
        room = os.statvfs(self.directory)
        ballast = room.f_bavail * room.f_frsize - free_bytes
        (self.directory / "ballast").write_bytes(bytes(max(ballast, 0)))

    def enlarge(self, megabytes: int) -> None:
        """Give the disk a new size; what lies there stays."""
        options = f"remount,size={megabytes}m"
        subprocess.run([*self._enter, "mount", "-o", options, str(self._mount_point)], check=True, capture_output=True)


@contextmanager
def small_disk(mount_point: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a disk for the block: as root, else in a user namespace of its own, else skip (in CI: fail) aloud."""
    mount_point.mkdir()
    options = ("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(mount_point))
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0:
        try:
            yield SmallDisk(mount_point, mount_point, ())
        finally:
            subprocess.run(["umount", "--lazy", str(mount_point)], check=True, capture_output=True)
        return
    with _namespace(options) as holder:
        enter = ("nsenter", "--target", str(holder), "--user", "--mount", "--preserve-credentials")
        yield SmallDisk(Path(f"/proc/{holder}/root{mount_point}"), mount_point, enter)


@contextmanager
def _namespace(options: tuple[str, ...]) -> Iterator[int]:
    """Mount where only one process sees it, and yield its id: others of this user come in by /proc."""
    script = 'mount "$@" && echo mounted && exec sleep infinity'
    if shutil.which("unshare") is None:
        _give_up("neither root nor unshare is here")
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline().strip() != "mounted":
                _give_up("this user may not mount, not even in a namespace of its own")
            yield holder.pid
        finally:
            with suppress(ProcessLookupError):
                holder.kill()
            holder.wait(_ANSWER_SECONDS)


def _give_up(reason: str) -> None:
    message = f"a full disk cannot be made here: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{message}; CI must not skip this row")
    pytest.skip(message)
