"""Makes a step's folder appear whole or not at all, whether it is written or taken over from another run.

A step writes into a hidden folder beside its place; when it has returned, a stamp with the key of its inputs is added
and the folder gets its name by one rename. A process that dies in between leaves nothing that looks finished. Knows no
file of any step.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_STAMP = "stamp.json"


class Stamp(BaseModel):
    """What a finished step says of itself: the key of its inputs and the commit of the code that ran it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    key: str
    commit: str


def read_stamp(folder: Path) -> Stamp:
    """Return the stamp of a finished step.

    Raises
    ------
    OSError, ValueError
        If there is none, or it was not written by this code.
    """
    return Stamp.model_validate_json((folder / _STAMP).read_bytes())


def finished_key(folder: Path) -> str | None:
    """Return the key that the step in ``folder`` was finished with, or ``None`` if it is not finished."""
    try:
        return read_stamp(folder).key
    except (OSError, ValueError):
        # Whatever the stamp holds, a step that cannot show its key was not finished by this code.
        return None


@contextmanager
def written(place: Path, key: str, *, commit: str) -> Iterator[Path]:
    """Hand out a fresh folder; on leaving without an error, stamp it and move it to ``place``.

    A finished folder of other inputs is replaced, in that same moment.
    """
    staging = _emptied(place)
    staging.mkdir(parents=True)
    yield staging
    stamp = Stamp(step=place.name, key=key, commit=commit)
    (staging / _STAMP).write_text(stamp.model_dump_json() + "\n", encoding="utf-8")
    _put_in_place(staging, place)


def adopted(place: Path, other: Path, key: str) -> bool:
    """Take over the finished step in ``other`` if its key is ``key``; return whether it could be.

    Files are shared by hard links where the file system has them, else copied. Sharing is safe because a finished
    step's files are never written to again: whatever replaces them is a new folder of new files.
    """
    if finished_key(other) != key:
        return False
    staging = _emptied(place)
    try:
        shutil.copytree(other, staging, copy_function=_link_or_copy)
        # Another process may have replaced it while it was read: half of the files would be those of other inputs.
        if finished_key(other) != key:
            return False
        _put_in_place(staging, place)
    except OSError:
        # Gone meanwhile, or no room for it: whoever asks runs the step itself, which says what is wrong.
        return False
    return True


def _emptied(place: Path) -> Path:
    staging = place.with_name(f".{place.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    return staging


def _put_in_place(staging: Path, place: Path) -> None:
    for path in (path for path in staging.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    outdated = place.with_name(f".{place.name}.outdated")
    shutil.rmtree(outdated, ignore_errors=True)
    if place.exists():
        place.rename(outdated)
    staging.rename(place)
    shutil.rmtree(outdated, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
