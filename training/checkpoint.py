"""What a killed training resumes from: files that are whole or absent, and that no other training takes for its own.

They lie beside the step's folder, not in it, because a step that was killed starts with a fresh folder. Each carries
the key of the step's inputs; files of other inputs are as good as absent.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """The resumable states of one step, by name, in ``folder``; ``writes`` is false where another process does that."""

    folder: Path
    key: str
    writes: bool = True

    def read(self, name: str) -> Any | None:
        """Return what was last written under ``name`` for the same key, on the CPU; ``None`` if there is nothing."""
        try:
            found = torch.load(self.folder / f"{name}.pt", map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            # Written whole and renamed, so a file that cannot be read is not ours; the training starts over.
            return None
        return found["state"] if isinstance(found, dict) and found.get("key") == self.key else None

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
