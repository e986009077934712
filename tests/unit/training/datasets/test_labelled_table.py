"""A table of any column names: what is mapped is read, what is wrong is named by its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.datasets import data_recipe
from training.datasets.reading import read_collection, survey_collection
from training.errors import DatasetError

COLUMNS = {
    "image": "file",
    "findings": "labels",
    "patient": "pid",
    "age": "years",
    "sex": "gender",
    "view": "projection",
    "part": "fold",
    "separator": ";",
}
HEADER = "file,labels,pid,years,gender,projection,fold\n"
CSV = data_recipe(reader="csv", columns=COLUMNS, healthy=("normal", "clear"))


def table(directory: Path, text: str, *films: str) -> Path:
    (directory / "labels.csv").write_text(text)
    for film in films:
        path = directory / film
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return directory


def test_mapped_columns_are_read(tmp_path: Path) -> None:
    rows = "sub/a.png,Mass; Nodule,p1,58.0,male,pa,train\nb.png,clear,p2,058Y,F,AP,validation\nc.png,normal,p3,,x,,\n"
    first, second, third = read_collection(table(tmp_path, HEADER + rows, "sub/a.png", "b.png", "c.png"), CSV).samples
    assert (first.id, first.patient, first.findings) == ("sub/a.png", "p1", ("Mass", "Nodule"))
    assert (first.age_years, first.sex, first.view, first.official_part) == (58, "M", "PA", "train")
    assert (second.findings, second.age_years, second.sex) == ((), 58, "F")
    assert (second.view, second.official_part) == ("AP", "select")
    assert (third.age_years, third.sex, third.view, third.official_part) == (None, None, None, None)


def test_image_and_findings_are_enough_and_then_nobody_knows_the_patients(tmp_path: Path) -> None:
    directory = table(tmp_path, "image,findings\na.png,Mass\nb.png,No Finding\n", "a.png", "deep/er/b.png")
    collection = read_collection(directory, data_recipe(reader="csv"))
    assert [sample.patient for sample in collection.samples] == ["a.png", "deep/er/b.png"]
    assert [remark.kind for remark in collection.remarks] == ["patients_unknown"]


def test_missing_columns_are_named_beside_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"labels\.csv lacks the column pid, fold; it has: file, labels, years"):
        read_collection(table(tmp_path, "file,labels,years,gender,projection\n"), CSV)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.png,,p1,,,,", r"empty finding label .*line 3$"),
        ("a.png,Mass;,p1,,,,", r"empty finding label .*line 3$"),
        ("a.png,normal;Mass,p1,,,,", r"healthy label beside a finding: .*line 3: 'normal;Mass'"),
        ("a.png,Mass,,,,,", r"name no patient: .*line 3$"),
        ("a.png,Mass,p1,,,,holdout", r"parts that are none of .*line 3: 'holdout'"),
        ("gone.png,Mass,p1,,,,", r"lists 1 films that are not there; .*line 3: gone\.png"),
        (",Mass,p1,,,,", r"lists 1 films that are not there; .*line 3: no name"),
        ("good.png,Mass,p1,,,,", r"lists films twice: good\.png"),
        ("a.png,Mass", r"line 3 has too few columns"),
    ],
)
def test_a_row_at_fault_is_named_by_its_line(tmp_path: Path, row: str, said: str) -> None:
    directory = table(tmp_path, f"{HEADER}good.png,Mass,p0,,,,\n{row}\n", "good.png", "a.png")
    with pytest.raises(DatasetError, match=said):
        read_collection(directory, CSV)


def test_missing_films_are_skipped_on_request_but_not_all_of_them(tmp_path: Path) -> None:
    recipe = CSV.model_copy(update={"missing_images": "skip"})
    directory = table(tmp_path, HEADER + "a.png,Mass,p1,,,,\nb.png,clear,p2,,,,\n", "a.png")
    assert read_collection(directory, recipe).rows_without_film == 1
    (directory / "a.png").unlink()
    with pytest.raises(DatasetError, match="lists 2 films that are not there"):
        read_collection(directory, recipe)


def test_a_name_that_two_films_have_is_not_guessed(tmp_path: Path) -> None:
    directory = table(tmp_path, HEADER + "b.png,Mass,p1,,,,\na.png,Mass,p2,,,,\n", "b.png", "x/a.png", "y/a.png")
    with pytest.raises(DatasetError, match=r"line 3: a\.png"):
        read_collection(directory, CSV)


def test_a_path_that_is_not_there_is_missing_whatever_other_folder_holds_that_name(tmp_path: Path) -> None:
    rows = "x/1.png,clear,p1,,,,\ny/1.png,Mass,p2,,,,\n"
    directory = table(tmp_path, HEADER + rows, "x/1.png", "y/1.png")
    assert [sample.id for sample in read_collection(directory, CSV).samples] == ["x/1.png", "y/1.png"]
    (directory / "y" / "1.png").unlink()
    with pytest.raises(DatasetError, match=r"lists 1 films that are not there; .*line 3: y/1\.png"):
        read_collection(directory, CSV)


def test_laterals_are_left_out_and_ages_that_cannot_be_are_unknown_and_both_said_so(tmp_path: Path) -> None:
    rows = "a.png,Mass,p1,414,,PA,\nb.png,Mass,p1,50,,LATERAL,\n"
    collection = survey_collection(table(tmp_path, HEADER + rows, "a.png", "b.png"), CSV)
    assert [(sample.id, sample.age_years) for sample in collection.samples] == [("a.png", None)]
    said: dict[str, Any] = {remark.kind: remark.places for remark in collection.remarks}
    assert [place.split("labels.csv ")[1] for place in said["impossible_age"]] == ["line 2: 414"]
    assert [place.split("labels.csv ")[1] for place in said["left_out"]] == ["line 3: lateral"]


def test_the_only_table_may_have_any_name_but_two_must_be_told_apart(tmp_path: Path) -> None:
    table(tmp_path, HEADER + "a.png,Mass,p1,,,,\n", "a.png")
    (tmp_path / "labels.csv").rename(tmp_path / "films.csv")
    assert len(read_collection(tmp_path, CSV).samples) == 1
    (tmp_path / "other.csv").write_text("")
    with pytest.raises(DatasetError, match=r"has no labels\.csv; .* found: films\.csv, other\.csv"):
        read_collection(tmp_path, CSV)


def test_a_table_without_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="lists no film that can be used"):
        read_collection(table(tmp_path, HEADER), CSV)


def test_rows_above_the_oldest_age_asked_for_are_left_out_and_said_so(tmp_path: Path) -> None:
    rows = "a.png,Mass,p1,414,,PA,\nb.png,Mass,p1,90,,PA,\nc.png,clear,p2,091Y,,PA,\n"
    recipe = CSV.model_copy(update={"oldest_years": 90})
    collection = read_collection(table(tmp_path, HEADER + rows, "b.png", "c.png"), recipe)
    assert [(sample.id, sample.age_years) for sample in collection.samples] == [("b.png", 90)]
    (remark,) = collection.remarks
    assert [place.split("labels.csv ")[1] for place in remark.places] == ["line 2: 414", "line 4: 091Y"]
