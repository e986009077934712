"""What lies in a spool's directory, told by names: payloads, and beside each its sidecar and its pictures.

Knows no jobs and keeps nothing; ``spool`` does. Thousands of films may wait, and every worker looks at them each
minute. So a look costs one listing a folder, and a question to the disk only where a size or an age is wanted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.jobs.disk import size_bytes, translate_disk_errors
from services.jobs.quota import Usage
from services.jobs.records import Picture

SIDECAR: Final = ".json"
INCOMING: Final = "tmp"
_PAYLOAD: Final = r"[0-9a-f]{32}\.[0-9a-f]{32}"
_PICTURE: Final = rf"\.(?:{'|'.join(Picture)})(?:-[0-9a-f]{{8}})?"
_PAYLOAD_NAME: Final = re.compile(_PAYLOAD)
_PICTURE_SUFFIX: Final = re.compile(_PICTURE)
_BESIDE: Final = re.compile(rf"({_PAYLOAD})(?:{re.escape(SIDECAR)}|({_PICTURE}))")


def is_payload(name: str) -> bool:
    """Return whether a name is a payload's: ``<id>.<uuid>``."""
    return _PAYLOAD_NAME.fullmatch(name) is not None


def is_picture_suffix(suffix: str) -> bool:
    """Return whether this is what follows a payload's name in that of its picture."""
    return _PICTURE_SUFFIX.fullmatch(suffix) is not None


@dataclass(frozen=True, kw_only=True)
class Folder:
    """One folder of two hex digits, as it was listed; what it names may vanish meanwhile."""

    entries: dict[str, os.DirEntry[str]]

    def payloads(self) -> Iterator[tuple[str, os.stat_result, bool]]:
        """Yield name, facts and whether there is a sidecar, of each payload."""
        for name, entry in self.entries.items():
            if is_payload(name):
                with suppress(FileNotFoundError):
                    yield name, entry.stat(), name + SIDECAR in self.entries

    def abandoned(self) -> Iterator[Path]:
        """Yield sidecars and pictures without their payload."""
        for name, entry in self.entries.items():
            beside = _BESIDE.fullmatch(name)
            if beside is None or beside[1] in self.entries:
                continue
            path = Path(entry.path)
            # Asked once more: some file systems' listings miss a name while others change, and a payload needs these.
            if not path.with_name(beside[1]).exists():
                yield path

    def usage(self) -> Usage:
        """Return what it takes; a file of somebody else counts as a payload."""
        payload_bytes = picture_bytes = 0
        for name, entry in self.entries.items():
            beside = _BESIDE.fullmatch(name)
            if beside is None or beside[2] is not None:
                with suppress(FileNotFoundError):
                    size = entry.stat().st_size
                    payload_bytes += size if beside is None else 0
                    picture_bytes += size if beside is not None else 0
        return Usage(payload_bytes=payload_bytes, picture_bytes=picture_bytes)


def folders(directory: Path) -> Iterator[Folder]:
    """Yield the folders of a spool; raise SpoolUnavailable where they cannot be listed."""
    with translate_disk_errors():
        for folder in sorted(directory.glob("[0-9a-f][0-9a-f]")):
            with os.scandir(folder) as entries:
                yield Folder(entries={entry.name: entry for entry in entries})


def abandoned_in(directory: Path) -> Iterator[Path]:
    """Yield uploads and drafts, and what lies beside no payload; those of now are among them."""
    yield from (directory / INCOMING).iterdir()
    for folder in folders(directory):
        yield from folder.abandoned()


def usage_of(directory: Path, *, apart_from: str) -> Usage:
    """Return what lies in a spool, but for drafts whose names begin with ``apart_from``; raises SpoolUnavailable."""
    with translate_disk_errors():
        drafts = (path for path in (directory / INCOMING).iterdir() if not path.name.startswith(apart_from))
        payload_bytes = sum(size_bytes(path) for path in drafts)
        parts = [folder.usage() for folder in folders(directory)]
    return Usage(
        payload_bytes=payload_bytes + sum(part.payload_bytes for part in parts),
        picture_bytes=sum(part.picture_bytes for part in parts),
    )
