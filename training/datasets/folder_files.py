"""The one walk through a folder that every reader takes: nothing below it is passed over without a word."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from training.datasets.collection import Notices
from training.errors import DatasetError


def files_below(directory: Path, remarks: Notices) -> Iterator[Path]:
    """Yield every file below ``directory``, in any folder, as a path relative to it.

    Folders that are links are not followed (one that leads upwards would never end), and remarked.

    Raises
    ------
    DatasetError
        If a folder cannot be listed: its films would be missing unseen.
    """
    for folder, folders, names in os.walk(directory, onerror=_refuse):
        below = Path(folder).relative_to(directory)
        linked = [(below / name).as_posix() for name in sorted(folders) if Path(folder, name).is_symlink()]
        if linked:
            remarks.add("linked_folder", "folders that are links are not followed", *linked)
        yield from (below / name for name in names)


def _refuse(error: OSError) -> NoReturn:
    raise DatasetError(f"cannot list the folder {error.filename} ({error.strerror})") from error
