"""What a killed training resumes from: files that are whole or absent, and that no other training takes for its own.

They lie beside the step's folder, not in it, because a step that was killed starts with a fresh folder. Each carries
the key of the step's inputs; files of other inputs are as good as absent.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from training.errors import RunError

# What torch.load raises on bytes that are no checkpoint: the archive, the pickle in it, or its words make no sense.
_UNREADABLE: Final = (RuntimeError, pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, struct.error)


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """The resumable states of one step, by name, in ``folder``.

    ``say`` is told when work is lost; ``writes`` is false where another process writes them.
    """

    folder: Path
    key: str
    say: Callable[[str], None]
    writes: bool = True

    def read(self, name: str) -> Any | None:
        """Return what was last written under ``name`` for the same key, on the CPU; ``None`` if there is nothing.

        A file that is no checkpoint is put aside as ``NAME.unreadable`` and said so; the training then starts over.

        Raises
        ------
        RunError
            If the file is there and cannot be read now: hours of training may be in it.
        """
        path = self.folder / f"{name}.pt"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError(f"cannot read the checkpoint {path} ({error.strerror})") from error
        try:
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            key, state = found["key"], found["state"]
        except _UNREADABLE as error:
            self._put_aside(path, error)
            return None
        return state if key == self.key else None

    def _put_aside(self, path: Path, error: Exception) -> None:
        aside = path.with_suffix(".unreadable")
        try:
            path.replace(aside)
        except OSError as denied:
            raise RunError(f"{path} is no checkpoint and cannot be put aside ({denied.strerror})") from error
        self.say(f"WARNING: {path} is no checkpoint; it is put aside as {aside.name}, and its training starts over")

    def write(self, name: str, state: Any) -> None:
        """Keep ``state`` (tensors, numbers, texts, and dicts and lists of them), replacing the last one at once.

        Raises
        ------
        OSError
            If the disk is full, say; the last state is then still there.
        """
        if not self.writes:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        torch.save({"key": self.key, "state": state}, content)
        partial = self.folder / f"{name}.partial"
        with partial.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / f"{name}.pt")
        _sync_folder(self.folder)

    def forget(self, name: str) -> None:
        """Remove what was written under ``name``, if anything."""
        if self.writes:
            (self.folder / f"{name}.pt").unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove everything: the step is finished."""
        if self.writes:
            shutil.rmtree(self.folder, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    # A rename is durable once its folder is.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
