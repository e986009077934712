"""CSV tables of labels: opened, their columns required, their cells read. Shared by every reader that has a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from model.demographics import OLDEST_YEARS
from training.datasets.collection import Collection, Notices, fingerprint, refuse_duplicates
from training.datasets.sample import Sample
from training.errors import DatasetError
from training.recipe import DataRecipe

_AGE = re.compile(r"0*(\d{1,4})(?:\.0*)?Y?")
# The kind of remark that counts the rows left out for ``data.oldest_years``.
TOO_OLD: Final = "too_old"
_SEXES: Final = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F"}
_LATERAL: Final = frozenset({"LL", "RL", "LATERAL", "LAT", "L"})
# What MedMNIST, torchvision and most tables call the parts; ours has a calibrate part of its own.
OFFICIAL_PARTS: Final = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("select", "val", "valid", "validation", "dev"), "select"),
    **dict.fromkeys(("calibrate", "calibration"), "calibrate"),
    **dict.fromkeys(("test", "testing"), "test"),
    "train_val": "train_val",
}


@contextmanager
def open_table(path: Path) -> Iterator[csv.DictReader[str]]:
    """Open a CSV table in UTF-8, with or without byte order mark.

    Raises
    ------
    DatasetError
        If it cannot be read as one.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield csv.DictReader(file)
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise DatasetError(f"{path} cannot be read as a CSV table in UTF-8: {error}") from error


def read_rows(path: Path, columns: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield ``(line, cells)`` of each row: the wanted cells by column, stripped.

    Raises
    ------
    DatasetError
        If columns are missing (all are named, with those that are there) or a row is shorter than the header.
    """
    wanted = tuple(columns)
    with open_table(path) as reader:
        header = reader.fieldnames or []
        absent = [name for name in wanted if name not in header]
        if absent:
            raise DatasetError(f"{path} lacks the column {', '.join(absent)}; it has: {', '.join(header)}")
        for row in reader:
            if any(row[name] is None for name in wanted):
                raise DatasetError(f"{path} line {reader.line_num} has too few columns")
            yield reader.line_num, {name: row[name].strip() for name in wanted}


def find_table(directory: Path) -> Path:
    """Return ``labels.csv``, or the only CSV file of ``directory``.

    Raises
    ------
    DatasetError
        If there is neither.
    """
    tables = sorted(directory.glob("*.csv"))
    if directory / "labels.csv" in tables:
        return directory / "labels.csv"
    if len(tables) != 1:
        found = ", ".join(table.name for table in tables) or "none"
        raise DatasetError(f"{directory} has no labels.csv; a single CSV file of another name would do, found: {found}")
    return tables[0]


def tabled_collection(
    directory: Path,
    table: Path,
    samples: list[Sample],
    *,
    missing: list[str],
    missing_images: Literal["error", "skip"],
    faults: Notices,
    remarks: Notices,
) -> Collection:
    """Return the collection that the rows of ``table`` make, once all of them are read.

    ``missing`` names the rows without film; they are at fault unless ``missing_images`` skips them and other films are
    left. A film that is listed twice is at fault too.

    Raises
    ------
    DatasetError
        If no film is left and nothing is at fault: a table of no use.
    """
    if missing and (missing_images == "error" or not samples):
        text = (
            f"{table} lists {len(missing)} films that are not there; finish the download, or set "
            f"data.missing_images = 'skip'; missing"
        )
        faults.add("missing_film", text, *missing)
    elif not samples and not tuple(faults):
        raise DatasetError(f"{table} lists no film that can be used")
    refuse_duplicates(samples, faults, source=table)
    return Collection(
        samples=tuple(samples),
        fingerprint=fingerprint(directory, samples, source=table.read_bytes()),
        rows_without_film=len(missing),
        faults=tuple(faults),
        remarks=tuple(remarks),
    )


def read_age(text: str, place: str, remarks: Notices) -> int | None:
    """Return whole years of ``58``, ``058Y`` or ``58.0``; ``None`` where empty, unreadable or impossible."""
    years = _years(text)
    if years is not None and years <= OLDEST_YEARS:
        return years
    if text:
        remarks.add("impossible_age", "ages that cannot be are read as unknown", f"{place}: {text}")
    return None


def is_too_old(age: str | float | None, recipe: DataRecipe, place: str, remarks: Notices) -> bool:
    """Return whether ``age``, a cell or years, is above ``data.oldest_years``, and note it: such a row is left out.

    The NIH table of 2017 has patients of 148 to 414 years. An age that is unknown leaves nobody out.
    """
    years = _years(age) if isinstance(age, str) else age
    if recipe.oldest_years is None or years is None or years <= recipe.oldest_years:
        return False
    text = f"rows left out, because their patients are older than data.oldest_years ({recipe.oldest_years})"
    remarks.add(TOO_OLD, text, f"{place}: {age}")
    return True


def _years(text: str) -> int | None:
    match = _AGE.fullmatch(text.upper())
    return int(match[1]) if match else None


def read_sex(text: str) -> str | None:
    """Return ``M``, ``F`` or ``None``."""
    return _SEXES.get(text.upper())


def read_view(text: str) -> str | None:
    """Return ``PA``, ``AP`` or ``None``."""
    return text.upper() if text.upper() in {"PA", "AP"} else None


def is_lateral(text: str) -> bool:
    """Return whether a view is a lateral one, which a worker refuses to judge."""
    return text.upper() in _LATERAL


def read_part(text: str, place: str, faults: Notices) -> str | None:
    """Return the official part of a film by any usual name; an empty cell is none, another word is a fault."""
    if not text:
        return None
    part = OFFICIAL_PARTS.get(text.lower())
    if part is None:
        known = ", ".join(OFFICIAL_PARTS)
        faults.add("unknown_part", f"parts that are none of {known}", f"{place}: '{text}'")
    return part


def read_findings(
    cell: str, healthy: Iterable[str], *, separator: str, place: str, faults: Notices
) -> tuple[str, ...] | None:
    """Return the findings of a cell, ``()`` where it holds a healthy label alone, ``None`` where it is a fault.

    An empty cell must not become a healthy film, and a healthy label beside a finding is a contradiction.
    """
    labels = [label.strip() for label in cell.split(separator)]
    if not all(labels):
        faults.add("empty_label", "cells with an empty finding label (a healthy film must say so)", place)
        return None
    findings = tuple(label for label in labels if label not in healthy)
    if findings and len(findings) < len(labels):
        faults.add("label_conflict", "a healthy label beside a finding", f"{place}: '{cell}'")
        return None
    return tuple(dict.fromkeys(findings))
