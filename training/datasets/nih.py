"""NIH ChestX-ray14 as its users have it: the official table, and the films in whatever folders they unpacked.

Films are indexed once by file name, so one flat folder, Kaggle's ``images_001/images … images_012/images`` and
re-encoded ``.jpg`` copies all work. Source of the collection: Wang et al., CVPR 2017; NIH Clinical Center.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.datasets.sample import Sample
from training.errors import DatasetError

TABLE_NAMES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv", "sample_labels.csv")
TEST_LIST_NAMES = ("test_list.txt", "test_list_NIH.txt", "nih_test_list.txt")
NOTES_NAME = "notes.csv"
NO_FINDING = "No Finding"
FINDINGS = frozenset(
    {
        "Atelectasis",
        "Cardiomegaly",
        "Consolidation",
        "Edema",
        "Effusion",
        "Emphysema",
        "Fibrosis",
        "Hernia",
        "Infiltration",
        "Mass",
        "Nodule",
        "Pleural_Thickening",
        "Pneumonia",
        "Pneumothorax",
    }
)

# The table was published with several headers: 2017, its 2020 revision, and Kaggle's sample of 5 %.
_SPELLINGS = {
    "image": ("Image Index",),
    "findings": ("Finding Labels",),
    "patient": ("Patient ID",),
    "age": ("Patient Age",),
    "sex": ("Patient Gender", "Patient Sex"),
    "view": ("View Position",),
}
_SUFFIXES = (".png", ".jpg", ".jpeg")
# Four patients of the 2017 table are between 148 and 414 years old; nobody has lived beyond 122.
_OLDEST_YEARS = 122


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Samples in table order, their paths relative to the directory read, and a fingerprint of all that was read."""

    samples: tuple[Sample, ...]
    fingerprint: str
    rows_without_film: int


def read_nih(directory: Path, *, missing_images: Literal["error", "skip"]) -> Collection:
    """Read the table and find every film.

    ``notes.csv``, where present, names films that a second reading contradicts (``rsna_says_normal`` = 1) and the
    official part of each film (``official_split``); the official test list, where present, does the latter too.

    Raises
    ------
    DatasetError
        If the table, a column or films are missing, a label or note is none that the collection knows, a patient is
        not named, or an image is listed or stored twice.
    """
    table = _first_existing(directory, TABLE_NAMES)
    if table is None:
        raise DatasetError(f"{directory} has no table: expected {' or '.join(TABLE_NAMES)}")
    films = _index_films(directory)
    notes = _read_notes(directory / NOTES_NAME)
    test_list = _read_test_list(directory)
    samples: list[Sample] = []
    missing: list[str] = []
    for row in _read_table(table):
        film = films.get(Path(row["image"]).stem)
        if film is None:
            missing.append(row["image"])
            continue
        note = notes.get(row["image"], {})
        official = note.get("official_split") or None
        if test_list:
            official = "test" if row["image"] in test_list else "train_val"
        samples.append(_sample(row, film, is_disputed=note.get("rsna_says_normal") == "1", official_part=official))
    if missing and (missing_images == "error" or not samples):
        raise DatasetError(
            f"{table} lists {len(missing)} films that are nowhere under {directory} (first: {', '.join(missing[:3])}); "
            f"finish the download, or set data.missing_images = 'skip'"
        )
    _refuse_duplicates(samples, table)
    fingerprint = _fingerprint(directory, table, samples)
    return Collection(samples=tuple(samples), fingerprint=fingerprint, rows_without_film=len(missing))


def _first_existing(directory: Path, names: tuple[str, ...]) -> Path | None:
    return next((directory / name for name in names if (directory / name).is_file()), None)


def _index_films(directory: Path) -> dict[str, Path]:
    films: dict[str, Path] = {}
    for folder, _, names in os.walk(directory):
        for path in (Path(folder, name) for name in names):
            if path.suffix.lower() not in _SUFFIXES:
                continue
            if path.stem in films:
                raise DatasetError(
                    f"two files are named {path.stem}: {directory / films[path.stem]} and {path}; keep one"
                )
            films[path.stem] = path.relative_to(directory)
    return films


@contextmanager
def _open_table(path: Path) -> Iterator[csv.DictReader[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield csv.DictReader(file)
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise DatasetError(f"{path} cannot be read as a CSV table in UTF-8: {error}") from error


def _read_table(table: Path) -> Iterator[dict[str, str]]:
    with _open_table(table) as reader:
        header = reader.fieldnames or []
        columns = {key: next((name for name in names if name in header), "") for key, names in _SPELLINGS.items()}
        absent = [" or ".join(_SPELLINGS[key]) for key, name in columns.items() if not name]
        if absent:
            raise DatasetError(f"{table} lacks the column {', '.join(absent)}")
        for row in reader:
            if any(row[name] is None for name in columns.values()):
                raise DatasetError(f"{table} line {reader.line_num} has too few columns")
            values = {key: row[name].strip() for key, name in columns.items()}
            _require_known_values(values, place=f"{table} line {reader.line_num}")
            yield values


def _require_known_values(row: dict[str, str], *, place: str) -> None:
    # An empty cell must not become a healthy film, nor a misspelt "No Finding" an unhealthy one.
    if not row["patient"]:
        raise DatasetError(f"{place} names no patient")
    labels = row["findings"].split("|")
    if labels != [NO_FINDING] and not FINDINGS.issuperset(labels):
        raise DatasetError(f"{place} has the finding labels '{row['findings']}', which are not those of the collection")


def _read_notes(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    notes: dict[str, dict[str, str]] = {}
    with _open_table(path) as reader:
        absent = [name for name in ("image_index", "rsna_says_normal") if name not in (reader.fieldnames or [])]
        if absent:
            raise DatasetError(f"{path} lacks the column {', '.join(absent)}")
        for row in reader:
            if row["rsna_says_normal"] not in ("0", "1"):
                raise DatasetError(f"{path} line {reader.line_num}: rsna_says_normal is neither 0 nor 1")
            notes[row["image_index"]] = row
    return notes


def _read_test_list(directory: Path) -> frozenset[str]:
    path = _first_existing(directory, TEST_LIST_NAMES)
    try:
        return frozenset(path.read_text(encoding="utf-8").split()) if path else frozenset()
    except (UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"{path} cannot be read as text in UTF-8: {error}") from error


def _sample(row: dict[str, str], film: Path, *, is_disputed: bool, official_part: str | None) -> Sample:
    findings = tuple(label for label in row["findings"].split("|") if label != NO_FINDING)
    return Sample(
        id=row["image"],
        path=film,
        patient=row["patient"],
        findings=findings,
        view=row["view"].upper() if row["view"].upper() in {"PA", "AP"} else None,
        age_years=_age_years(row["age"]),
        sex=row["sex"].upper() if row["sex"].upper() in {"M", "F"} else None,
        is_disputed=is_disputed,
        official_part=official_part,
    )


def _age_years(text: str) -> int | None:
    digits = text.upper().removesuffix("Y")
    if not digits.isdigit():
        return None
    return int(digits) if int(digits) <= _OLDEST_YEARS else None


def _refuse_duplicates(samples: list[Sample], table: Path) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise DatasetError(f"{table} lists {sample.id} twice")
        seen.add(sample.id)


def _fingerprint(directory: Path, table: Path, samples: list[Sample]) -> str:
    # Sizes stand for contents: hashing 45 GB of films at every start would cost more than it could find. What notes and
    # test list say of each film is told apart too; a split or a training set of yesterday's notes is not today's.
    digest = hashlib.sha256(table.read_bytes())
    for sample in samples:
        try:
            size_bytes = (directory / sample.path).stat().st_size
        except OSError as error:
            raise DatasetError(f"cannot find the film {directory / sample.path} ({error.strerror})") from error
        digest.update(f"{sample.id} {size_bytes} {sample.is_disputed} {sample.official_part}\n".encode())
    return digest.hexdigest()
