"""A bundle's files as bytes: each bounded before it is read, none followed to elsewhere, written whole or not at all.

Knows no manifest's meaning; ``bundle`` gives the bytes theirs.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from model.errors import BundleCorrupt

# A graph of 60 MB is the largest that is published (DESIGN §7); a page and a card are a fraction of it.
FILE_BYTES: Final = 64 * 1024**2
MANIFEST_BYTES: Final = 1024**2
FILES: Final = 32
# What an archive of arrays may unfold to: golden films of 512 a side are a quarter of a megabyte each.
_UNPACKED_BYTES: Final = 256 * 1024**2


def read_file(path: Path, *, most_bytes: int = FILE_BYTES) -> bytes:
    """Return a file's bytes, as one open file had them.

    Raises
    ------
    OSError
        If it cannot be opened; a symbolic link cannot.
    BundleCorrupt
        If it is no plain file, or larger than ``most_bytes``; nothing of it is read then.
    """
    # O_NONBLOCK: opening a pipe that nobody writes to must not wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BundleCorrupt(f"{path} is no plain file")
        if status.st_size > most_bytes:
            raise BundleCorrupt(f"{path} has {status.st_size} bytes; more than {most_bytes} are not read")
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise BundleCorrupt(f"{path} grew beyond {most_bytes} bytes while it was read")
    return content


def check_nothing_else(directory: Path, named: Mapping[str, str], *, besides: str) -> None:
    """Raise ``BundleCorrupt`` where a directory holds what no manifest vouches for.

    Hidden names are left alone: file systems and desktops put their own there, and nothing reads them.
    """
    try:
        found = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise BundleCorrupt(f"bundle {directory} cannot be listed ({error.strerror})") from error
    surplus = [name for name in found if name not in named and name != besides]
    if surplus:
        raise BundleCorrupt(f"bundle {directory} holds {surplus[0]}, which its manifest does not name")


def check_unpacked_size(path: Path, archive: bytes) -> None:
    """Raise ``BundleCorrupt`` where an archive says that it unfolds to more than any bundle needs.

    A reader of the archive takes no more from an entry than the archive says.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as entries:
            unpacked = sum(entry.file_size for entry in entries.infolist())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleCorrupt(f"{path} is not an archive of arrays") from error
    if unpacked > _UNPACKED_BYTES:
        raise BundleCorrupt(f"{path} unfolds to {unpacked} bytes; more than {_UNPACKED_BYTES} are not read")


def write_directory(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Write files so that their directory is either whole or absent, also after a power cut.

    The directory appears by one rename after every file is fsynced.

    Raises
    ------
    OSError
        If it cannot be written, or ``directory`` holds something; nothing is left then.
    """
    staging = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}.partial")
    staging.mkdir(parents=True)
    try:
        for name, content in contents.items():
            with (staging / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync(staging)
        staging.rename(directory)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    _sync(directory.parent)


def _sync(directory: Path) -> None:
    # Without this a power cut may forget a name, though not the file.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
