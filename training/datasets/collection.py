"""What every reader of films hands on: the samples, what is wrong with them, and what a person should know of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from training.datasets.sample import Sample
from training.errors import DatasetError

_NAMED: Final = 3
# The kind of remark that says that films without a named patient each count as a patient of their own.
PATIENTS_UNKNOWN: Final = "patients_unknown"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One kind of thing found in a collection, and every place where it was found.

    ``kind`` is stable, for programs; ``text`` is for people; ``places`` are files or lines of a table.
    """

    kind: str
    text: str
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.places:
            return self.text
        named, more = ", ".join(self.places[:_NAMED]), len(self.places) - _NAMED
        return f"{self.text}: {named}" + (f" and {more} more" if more > 0 else "")


class Notices:
    """Gathers places by kind while a collection is read, so that 112,120 rows with one fault become one notice."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._places: dict[str, list[str]] = {}

    def add(self, kind: str, text: str, *places: str) -> None:
        """Note that ``text`` is true at ``places``; the first text of a kind stays."""
        self._texts.setdefault(kind, text)
        self._places.setdefault(kind, []).extend(places)

    def __iter__(self) -> Iterator[Notice]:
        for kind, text in self._texts.items():
            yield Notice(kind=kind, text=text, places=tuple(self._places[kind]))


def print_remarks(remarks: Iterable[Notice], console: Console) -> None:
    """Print each remark as a note of its own."""
    for remark in remarks:
        console.print(f"NOTE: {remark}", markup=False)


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A labelled collection as a reader found it.

    Attributes
    ----------
    samples
        In the order of the table or folder, paths relative to the directory read.
    fingerprint
        Digest of all that was read; other films, labels or official lists have another one.
    rows_without_film
        Rows of the table whose film is not at hand.
    faults
        What must be mended before anything is trained on it.
    remarks
        What its user should know: films left out, patients unknown, ages that cannot be.
    """

    samples: tuple[Sample, ...]
    fingerprint: str
    rows_without_film: int = 0
    faults: tuple[Notice, ...] = ()
    remarks: tuple[Notice, ...] = ()


def require_sound(collection: Collection) -> Collection:
    """Return ``collection`` if nothing in it must be mended.

    Raises
    ------
    DatasetError
        With the first fault, and how many other kinds there are.
    """
    if not collection.faults:
        return collection
    first, *others = collection.faults
    more = f" (and {len(others)} other kinds of faults: see `cxr-train data check`)" if others else ""
    raise DatasetError(f"{first}{more}")


def refuse_duplicates(samples: Iterable[Sample], faults: Notices, *, source: Path) -> None:
    """Note every id that occurs twice; nobody could say which of two labels is the film's."""
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            faults.add("listed_twice", f"{source} lists films twice", sample.id)
        seen.add(sample.id)


def fingerprint(directory: Path, samples: Iterable[Sample], *, source: bytes = b"") -> str:
    """Return a digest of samples, the sizes of their files, and ``source``: the table, or what stands for an archive.

    Sizes stand for contents: hashing 45 GB of films at every start would cost more than it could find.

    Raises
    ------
    DatasetError
        If a file is gone.
    """
    digest = hashlib.sha256(source)
    sizes: dict[Path, int] = {}
    for sample in samples:
        if sample.path not in sizes:
            try:
                sizes[sample.path] = (directory / sample.path).stat().st_size
            except OSError as error:
                raise DatasetError(f"cannot find the film {directory / sample.path} ({error.strerror})") from error
        digest.update(
            f"{sample.id} {sizes[sample.path]} {sample.patient} {sample.findings} {sample.view} {sample.age_years} "
            f"{sample.sex} {sample.is_disputed} {sample.official_part} {sample.frame}\n".encode()
        )
    return digest.hexdigest()
