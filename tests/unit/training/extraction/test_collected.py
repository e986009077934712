"""Rows that come back from executors are taken for the film they stand for, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.demographics import encode_age_sex
from tests.support.datasets import phantom_frames
from training.datasets.duplicates import pixel_digest
from training.datasets.sample import Part, Sample
from training.errors import SparkError
from training.extraction.collected import collect_features
from training.extraction.executor import EXTRACTED

TENSORS = phantom_frames(4)[:, None]
FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3)
TABLE = [
    (Sample(id="a.png", path=Path("a.png"), patient="1", findings=("Mass", "Nodule"), age_years=58), Part.TRAIN),
    (Sample(id="b.png", path=Path("b.png"), patient="1", findings=(), age_years=7, sex="M"), Part.TRAIN),
    (Sample(id="c.png", path=Path("c.png"), patient="2", findings=(), sex="F"), Part.SELECT),
    (Sample(id="d.png", path=Path("d.png"), patient="3", findings=("Mass",)), Part.TEST),
]


def written_row(row: int) -> dict[str, Any]:
    """Return what an executor writes of a film that it could read."""
    sample, part = TABLE[row]
    age, sex = (None if np.isnan(value) else value for value in encode_age_sex(sample.age_years, sample.sex))
    return {
        "row": row,
        "image": sample.id,
        "patient": sample.patient,
        "part": part.value,
        "age": age,
        "sex": sex,
        "unhealthy": int(sample.is_unhealthy),
        "findings": list(sample.findings),
        "labels": [],
        "is_mirrored": False,
        "features": FEATURES[row],
        "pixels": pixel_digest(TENSORS[row]).hex(),
    }


def write_rows(directory: Path, *files: list[dict[str, Any]]) -> Path:
    for number, rows in enumerate(files):
        pq.write_table(pa.Table.from_pylist(rows, schema=EXTRACTED), directory / f"part-{number:05d}-x.snappy.parquet")
    (directory / "_SUCCESS").touch()
    return directory


def test_rows_come_back_in_the_order_of_the_samples(tmp_path: Path) -> None:
    written = write_rows(tmp_path, [written_row(3), written_row(0)], [], [written_row(2), written_row(1)])
    found = np.zeros_like(FEATURES)
    refused = collect_features(written, TABLE, TENSORS, found)
    assert (refused.rows, refused.films) == ([], [])
    np.testing.assert_array_equal(found, FEATURES)


def test_films_that_an_executor_read_not_or_otherwise_are_handed_back_with_the_reason(tmp_path: Path) -> None:
    unread = written_row(1) | {"features": None, "pixels": None, "error": "b.png cannot be read"}
    other = written_row(3) | {"pixels": pixel_digest(TENSORS[0]).hex()}
    found = np.zeros_like(FEATURES)
    refused = collect_features(
        write_rows(tmp_path, [other, unread, written_row(0), written_row(2)]), TABLE, TENSORS, found
    )
    assert refused.rows == [3, 1]
    assert [(film.image, film.part) for film in refused.films] == [("d.png", Part.TEST), ("b.png", Part.TRAIN)]
    assert "other pixels" in refused.films[0].reason
    assert refused.films[1].reason == "b.png cannot be read"
    np.testing.assert_array_equal(found[[0, 2]], FEATURES[[0, 2]])
    assert not found[[1, 3]].any()


@pytest.mark.parametrize("files", [[], [[]], [[written_row(0), written_row(1), written_row(3)]]])
def test_a_film_without_a_row_is_an_error_that_names_it(tmp_path: Path, files: list[list[dict[str, Any]]]) -> None:
    with pytest.raises(SparkError, match=r"of 4 films, such as [ac]\.png, have no row .* executor share"):
        collect_features(write_rows(tmp_path, *files), TABLE, TENSORS, np.zeros_like(FEATURES))


def test_a_film_with_two_rows_is_an_error_that_names_it(tmp_path: Path) -> None:
    rows = [written_row(row) for row in (0, 1, 2, 3, 2)]
    with pytest.raises(SparkError, match=r"holds the film c\.png more than once"):
        collect_features(write_rows(tmp_path, rows), TABLE, TENSORS, np.zeros_like(FEATURES))


@pytest.mark.parametrize(
    "changed",
    [{"image": "z.png"}, {"patient": "9"}, {"part": "train"}, {"age": 0.5}, {"sex": 1.0}, {"findings": ["Mass"]}],
)
def test_a_row_that_says_something_else_of_its_film_is_an_error(tmp_path: Path, changed: dict[str, Any]) -> None:
    rows = [written_row(0), written_row(1), written_row(2) | changed, written_row(3)]
    (name,) = changed
    with pytest.raises(SparkError, match=rf"Spark read {name} .* of the film c\.png, and the run's samples say"):
        collect_features(write_rows(tmp_path, rows), TABLE, TENSORS, np.zeros_like(FEATURES))
