"""Counts of the official table: equal to the table where it is at hand, and read whatever way it comes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.support.shared_data import shared_data
from training.errors import DatasetError, RunError
from training.reports.documents import write_document
from training.reports.official_table import count_table, official_table

_HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
_ROWS = (
    "1_0.png,No Finding,0,1,58,M,PA\n"
    "1_1.png,Mass|Nodule,1,1,414Y,M,AP\n"
    "2_0.png,Mass,0,2,30,F,PA\n"
)  # fmt: skip


def test_packaged_counts_are_those_of_the_whole_table() -> None:
    assert count_table(shared_data("labels", "Data_Entry_2017_v2020.csv.gz")) == official_table()


def test_packaged_counts_add_up() -> None:
    table = official_table()
    assert sum(table.sexes.values()) == table.films
    assert sum(table.sexes_with_findings.values()) == table.with_findings
    assert sum(films * patients for films, patients in table.films_of_patients.items()) == table.films
    assert sum(table.films_of_patients.values()) == table.patients
    with_findings = table.films_with_findings_of_patients
    assert sum(films * patients for films, patients in with_findings.items()) == table.with_findings


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_a_table_is_counted_plain_or_gzipped(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = (_HEADER + _ROWS).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    found = count_table(path)
    assert (found.films, found.patients, found.no_finding, found.labels) == (3, 2, 1, 3)
    assert (found.findings["Mass"], found.alone["Mass"]) == (2, 1)
    assert (found.oldest_years, found.films_of_patients) == (414, {1: 1, 2: 1})
    write_document(found, tmp_path / "counts.json")
    assert type(found).model_validate_json((tmp_path / "counts.json").read_text()) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_HEADER, "has no row"),
        (_HEADER.replace("Patient Age", "Age") + _ROWS, "lacks the column Patient Age; it has: Image Index"),
        (_HEADER.replace("Patient Gender", "Gender") + _ROWS, "lacks the column Patient Gender"),
        (_HEADER + "1_0.png\n", "line 2 has fewer cells than the header"),
        (_HEADER + _ROWS.replace("30", "thirty"), "line 4: 'thirty' is no age in years"),
    ],
)
def test_a_table_that_cannot_be_counted_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(DatasetError, match=message):
        count_table(path)


def test_a_file_that_is_no_gzip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_text(_HEADER)
    with pytest.raises(DatasetError, match=r"table\.csv\.gz cannot be read"):
        count_table(path)


def test_counts_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        write_document(official_table(), tmp_path / "absent" / "counts.json")
