"""Counts of the whole ChestX-ray14 table: what four of the five reports say of their data can be checked against it.

The table itself stays outside of the repository; ``official_table.json`` holds counts alone, written by
``cxr-train reports count`` and compared with the table by a test.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from training.datasets.nih import FINDINGS, NO_FINDING
from training.errors import DatasetError
from training.recipe.section import Section

_COUNTS = Path(__file__).with_suffix(".json")
_COLUMNS = ("Finding Labels", "Patient ID", "Patient Age")
_SEXES = ("Patient Gender", "Patient Sex")


class OfficialTable(Section):
    """Counts of films and patients.

    ``findings`` and ``alone`` are films with a finding, and with no other; ``sexes`` count films too. The histograms
    say how many patients have so many films, and so many films *with* a finding.
    """

    table: str
    films: int
    patients: int
    no_finding: int
    findings: dict[str, int]
    alone: dict[str, int]
    sexes: dict[str, int]
    sexes_with_findings: dict[str, int]
    youngest_years: int
    oldest_years: int
    mean_age_years: float
    films_of_patients: dict[int, int]
    films_with_findings_of_patients: dict[int, int]

    @property
    def with_findings(self) -> int:
        """Films with any finding."""
        return self.films - self.no_finding

    @property
    def labels(self) -> int:
        """Findings of all films together."""
        return sum(self.findings.values())


@cache
def official_table() -> OfficialTable:
    """Return the packaged counts."""
    return OfficialTable.model_validate_json(_COUNTS.read_text(encoding="utf-8"))


def count_table(path: Path) -> OfficialTable:
    """Count the official table, plain or gzipped.

    Raises
    ------
    DatasetError
        If it cannot be read, lacks a column, or has no row; the message names file and column or row.
    """
    rows = list(_rows(path))
    if not rows:
        raise DatasetError(f"{path} has no row")
    sex = next((name for name in _SEXES if name in rows[0]), None)
    absent = [name for name in (*_COLUMNS, *(() if sex else (_SEXES[0],))) if name not in rows[0]]
    if absent or sex is None:
        raise DatasetError(f"{path} lacks the column {', '.join(absent)}; it has: {', '.join(rows[0])}")
    labels = [row["Finding Labels"].split("|") for row in rows]
    unhealthy = [row for row, its in zip(rows, labels, strict=True) if its != [NO_FINDING]]
    every, alone = Counter(label for its in labels for label in its), Counter(its[0] for its in labels if len(its) == 1)
    ages = [_age(row["Patient Age"], path, line) for line, row in enumerate(rows, start=2)]
    return OfficialTable(
        table=path.name,
        films=len(rows),
        patients=len({row["Patient ID"] for row in rows}),
        no_finding=every[NO_FINDING],
        findings={finding: every[finding] for finding in FINDINGS},
        alone={finding: alone[finding] for finding in FINDINGS},
        sexes=dict(sorted(Counter(row[sex] for row in rows).items())),
        sexes_with_findings=dict(sorted(Counter(row[sex] for row in unhealthy).items())),
        youngest_years=min(ages),
        oldest_years=max(ages),
        mean_age_years=round(sum(ages) / len(ages), 2),
        films_of_patients=_histogram(rows),
        films_with_findings_of_patients=_histogram(unhealthy),
    )


def _rows(path: Path) -> Iterable[dict[str, str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", newline="", encoding="utf-8-sig") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                if None in row.values():
                    raise DatasetError(f"{path} line {line} has fewer cells than the header")
                yield row
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read as a CSV table in UTF-8: {error}") from error


def _age(cell: str, path: Path, line: int) -> int:
    try:
        return int(cell.strip().rstrip("Y"))
    except ValueError as error:
        raise DatasetError(f"{path} line {line}: '{cell}' is no age in years") from error


def _histogram(rows: Iterable[Mapping[str, str]]) -> dict[int, int]:
    """Return how many patients have so many films, by that number."""
    of_patient = Counter(row["Patient ID"] for row in rows)
    return dict(sorted(Counter(of_patient.values()).items()))
