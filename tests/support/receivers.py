"""Targets of delivery as processes of their own: one for HTTP (STOW-RS and webhooks), one for C-STORE."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Self

from pydicom import dcmread

from tests.support import receiving
from tests.support.gateway import wait_until
from tests.support.ports import free_ports, is_listening
from tests.support.processes import wait_or_kill

_STOP_SECONDS: Final = 60.0
DIE: Final = receiving.DIE
HANG: Final = receiving.HANG


class Receiver:
    """One target; ``port`` is its own from its construction on, so that it may be away first."""

    def __init__(self, directory: Path, kind: str) -> None:
        self._directory = directory
        self._kind = kind
        self._process: subprocess.Popen[bytes] | None = None
        (self.port,) = free_ports(1)
        directory.mkdir()
        (directory / receiving.KEPT).touch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, also again after its end, and return when it listens."""
        self.kill()
        command = [sys.executable, "-m", receiving.__name__, self._kind, str(self.port), str(self._directory)]
        self._process = subprocess.Popen(command)
        wait_until(lambda: is_listening(self.port), what=f"the {self._kind} receiver")

    def order(self, answer: str) -> None:
        """Say what it answers from now on: a status, ``die`` or ``hang``."""
        draft = self._directory / "draft"
        draft.write_text(answer)
        draft.replace(self._directory / receiving.ORDER)

    def wait_until_dead(self) -> None:
        """Wait until it has followed the order to die."""
        assert self._process is not None
        wait_or_kill(self._process, seconds=_STOP_SECONDS)

    def kill(self) -> None:
        """End it; harmless if it has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)

    def kept(self) -> list[dict[str, Any]]:
        """Return everything that came, in order, repeats too."""
        whole, _, _ = (self._directory / receiving.KEPT).read_text().rpartition("\n")  # the last line may be under way
        return [json.loads(line) for line in whole.splitlines()]

    def instances(self) -> list[str]:
        """Return the SOP Instance UID of everything that came, in order, repeats too."""
        return [uid for entry in self.kept() for uid in _instances(entry)]


def _instances(entry: dict[str, Any]) -> Iterator[str]:
    """Yield the UIDs of what came at once; a ``multipart/related`` part that is no DICOM is an error of its sender."""
    if "instance" in entry:
        yield entry["instance"]
        return
    content_type = entry["headers"]["Content-Type"]
    if not content_type.startswith("multipart/related"):
        return
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    for part in base64.b64decode(entry["body"]).split(b"--" + boundary)[1:-1]:
        file = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        yield str(dcmread(BytesIO(file)).SOPInstanceUID)
