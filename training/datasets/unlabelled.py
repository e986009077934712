"""Films without labels, for pretraining."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from training.datasets.collection import Notices
from training.datasets.folder_files import files_below
from training.datasets.tables import open_table, read_rows
from training.errors import DatasetError

_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".dcm"})
_INDEX_NAME: Final = "index.csv"


def films_below(directory: Path, remarks: Notices) -> tuple[Path, ...]:
    """Return every PNG, JPEG and ``.dcm`` file below ``directory``, sorted.

    Raises
    ------
    DatasetError
        If ``directory`` is none, or a folder in it cannot be listed.
    """
    return _films_of(_files(directory, remarks))


def unlabelled_films(directory: Path, remarks: Notices) -> tuple[Path, ...]:
    """Return every film below ``directory``, sorted, without those that are known to be films of a labelled collection.

    An ``index.csv`` in any folder may name such films (columns ``file``, relative to that folder, and ``nih_match``,
    not empty): learnt from without label, they would still be known to the network when it is tested on them.
    ``cxr-train data check LABELLED --against UNLABELLED`` finds those that no index names.

    Raises
    ------
    DatasetError
        If ``directory`` is none, a folder cannot be listed, an index cannot be read or names a film that is not there,
        or no film is left.
    """
    files = _files(directory, remarks)
    matched = {film for path in files if path.name == _INDEX_NAME for film in _matched_films(path)}
    left = tuple(film for film in _films_of(files) if film not in matched)
    if not left:
        raise DatasetError(f"{directory} holds no .png, .jpg or .dcm film that may be used without label")
    return left


def _files(directory: Path, remarks: Notices) -> list[Path]:
    if not directory.is_dir():
        raise DatasetError(f"{directory} is not a directory")
    return [directory / path for path in files_below(directory, remarks)]


def _films_of(files: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(sorted(path for path in files if path.suffix.lower() in _SUFFIXES))


def _matched_films(index: Path) -> set[Path]:
    with open_table(index) as reader:
        if "nih_match" not in (reader.fieldnames or []):
            return set()
    matched = set()
    for line, row in read_rows(index, ("file", "nih_match")):
        if row["nih_match"]:
            film = index.parent / row["file"]
            if not film.is_file():
                raise DatasetError(f"{index} line {line} names {row['file']}, which is not there to be left out")
            matched.add(film)
    return matched
