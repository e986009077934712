"""The NIH reader takes what people have on disk, and names what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.support.datasets import COLUMNS, data_recipe, row, write_collection, write_table
from tests.support.shared_data import shared_data
from training.datasets.collection import Collection
from training.datasets.reading import read_collection, survey_collection
from training.errors import DatasetError


def read_nih(directory: Path, *, missing_images: Literal["error", "skip"] = "error") -> Collection:
    return read_collection(directory, data_recipe(missing_images=missing_images))


def table_and_films(directory: Path, rows: list[list[str]], *, columns: tuple[str, ...] = COLUMNS) -> Path:
    directory.mkdir(exist_ok=True)
    write_table(directory / "Data_Entry_2017.csv", rows, columns)
    for values in rows:
        (directory / values[0]).write_bytes(b"")
    return directory


def test_one_flat_folder_and_kaggles_twelve_folders_are_the_same(tmp_path: Path) -> None:
    flat = write_collection(tmp_path / "flat", patients=4, pixels=32)
    nested = write_collection(
        tmp_path / "nested", patients=4, pixels=32, folder=lambda patient: f"images_{patient:03d}/images"
    )
    first, second = (read_nih(directory) for directory in (flat, nested))
    assert [sample.id for sample in first.samples] == [sample.id for sample in second.samples]
    assert first.fingerprint == second.fingerprint
    assert all((nested / sample.path).is_file() for sample in second.samples)
    assert not any(sample.path.is_absolute() for sample in second.samples)


def test_films_may_have_become_jpegs(tmp_path: Path) -> None:
    directory = table_and_films(tmp_path, [row("00000001_000.png", "No Finding", 1)])
    (directory / "00000001_000.png").rename(directory / "00000001_000.jpg")
    (sample,) = read_nih(directory).samples
    assert sample.path.suffix == ".jpg"
    assert sample.id == "00000001_000.png"


def test_a_row_becomes_a_sample(tmp_path: Path) -> None:
    rows = [
        row("1.png", "Mass|Nodule", 7, view="AP", age="058Y", sex="M"),
        row("2.png", "No Finding", 8, age="414", view="LL", sex=""),
    ]
    first, second = read_nih(table_and_films(tmp_path, rows)).samples
    assert (first.patient, first.findings, first.is_unhealthy) == ("7", ("Mass", "Nodule"), True)
    assert (first.view, first.age_years, first.sex) == ("AP", 58, "M")
    assert (second.findings, second.is_unhealthy) == ((), False)
    assert (second.view, second.age_years, second.sex) == (None, None, None)


@pytest.mark.parametrize("spelling", ["Patient Gender", "Patient Sex"])
def test_both_spellings_of_the_header_are_read(tmp_path: Path, spelling: str) -> None:
    columns = tuple(spelling if name == "Patient Gender" else name for name in COLUMNS)
    # The 2017 table split the last two columns at the comma inside their brackets and ended in an empty one.
    columns = (*columns[:7], "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]", "")
    directory = table_and_films(tmp_path, [[*row("1.png", "Mass", 1)[:7], "1", "2", "3", "4", ""]], columns=columns)
    assert read_nih(directory).samples[0].sex == "F"


def test_missing_columns_are_named(tmp_path: Path) -> None:
    columns = tuple(name for name in COLUMNS if name not in ("Patient ID", "View Position"))
    with pytest.raises(DatasetError, match="lacks the column Patient ID, View Position"):
        read_nih(table_and_films(tmp_path, [], columns=columns))


def test_a_short_row_is_named_by_its_line(tmp_path: Path) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass", 1), ["2.png", "Mass"]])
    with pytest.raises(DatasetError, match="line 3 has too few columns"):
        read_nih(directory)


def test_missing_films_are_counted_and_named_or_skipped_on_request(tmp_path: Path) -> None:
    directory = table_and_films(tmp_path, [row(f"{number}.png", "Mass", number) for number in range(5)])
    (directory / "1.png").unlink()
    (directory / "3.png").unlink()
    with pytest.raises(DatasetError, match=r"lists 2 films .*1\.png, 3\.png"):
        read_nih(directory)
    collection = read_nih(directory, missing_images="skip")
    assert [sample.id for sample in collection.samples] == ["0.png", "2.png", "4.png"]
    assert collection.rows_without_film == 2


def test_a_link_to_a_film_that_is_gone_is_named(tmp_path: Path) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass", 1)])
    (directory / "1.png").unlink()
    (directory / "1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DatasetError, match=r"cannot find the film .*1\.png"):
        read_nih(directory)


def test_a_table_without_any_film_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass", 1)])
    (directory / "1.png").unlink()
    with pytest.raises(DatasetError, match="lists 1 films"):
        read_nih(directory, missing_images="skip")


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="absent is not a directory"):
        read_nih(tmp_path / "absent")


def test_a_folder_without_table_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"Data_Entry_2017_v2020\.csv or Data_Entry_2017\.csv"):
        read_nih(tmp_path)


def test_one_name_twice_is_refused_in_table_and_on_disk(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"lists films twice: 1\.png"):
        read_nih(table_and_films(tmp_path, [row("1.png", "Mass", 1)] * 2))
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match="two files are named 1"):
        read_nih(tmp_path)


def test_notes_say_which_films_are_disputed_and_the_official_list_which_are_test(tmp_path: Path) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass", 1), row("2.png", "Mass", 2)])
    (directory / "notes.csv").write_text(
        "image_index,official_split,rsna_says_normal\n1.png,train_val,1\n2.png,test,0\n"
    )
    samples = read_nih(directory).samples
    assert [sample.is_disputed for sample in samples] == [True, False]
    assert [sample.official_part for sample in samples] == ["train_val", "test"]
    (directory / "test_list.txt").write_text("1.png\n")
    samples = read_nih(directory).samples
    assert [sample.official_part for sample in samples] == ["test", "train_val"]


def test_an_official_part_may_have_any_usual_name_and_notes_of_films_not_listed_are_remarked(tmp_path: Path) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass", 1), row("2.png", "Mass", 2)])
    (directory / "notes.csv").write_text(
        "image_index,official_split,rsna_says_normal\n1.png,Validation,0\n2.png,,1\n3.png,test,1\n"
    )
    collection = read_nih(directory)
    assert [sample.official_part for sample in collection.samples] == ["select", None]
    (remark,) = collection.remarks
    assert (remark.kind, remark.places) == ("stray_note", ("3.png",))


def test_another_film_changes_the_fingerprint(tmp_path: Path) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass", 1)])
    before = read_nih(directory).fingerprint
    (directory / "1.png").write_bytes(b"other")
    assert read_nih(directory).fingerprint != before


def test_other_notes_or_another_official_list_change_the_fingerprint(tmp_path: Path) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass", 1), row("2.png", "Mass", 2)])
    fingerprints = [read_nih(directory).fingerprint]
    for disputed in (0, 1):
        (directory / "notes.csv").write_text(f"image_index,official_split,rsna_says_normal\n1.png,test,{disputed}\n")
        fingerprints.append(read_nih(directory).fingerprint)
    (directory / "test_list.txt").write_text("2.png\n")
    fingerprints.append(read_nih(directory).fingerprint)
    assert len(set(fingerprints)) == 4


@pytest.mark.parametrize("findings", ["", "no finding", "Mas", "Mass|", "No Finding|Mass"])
def test_a_label_that_the_collection_does_not_know_is_refused_by_its_line(tmp_path: Path, findings: str) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass", 1), row("2.png", findings, 2)])
    with pytest.raises(DatasetError, match=r"Data_Entry_2017\.csv line 3: '") as refused:
        read_nih(directory)
    assert f"'{findings}'" in str(refused.value)


def test_every_row_at_fault_is_counted_and_the_rest_is_surveyed(tmp_path: Path) -> None:
    rows = [row("1.png", "Mass", 1), row("2.png", "Mas", 2), row("3.png", "No Finding|Mass", 3), row("4.png", "X", 4)]
    directory = table_and_films(tmp_path, rows)
    collection = survey_collection(directory, data_recipe())
    assert [sample.id for sample in collection.samples] == ["1.png"]
    assert {fault.kind: len(fault.places) for fault in collection.faults} == {"unknown_label": 2, "label_conflict": 1}
    with pytest.raises(DatasetError, match="and 1 other kinds of faults"):
        read_nih(directory)


def test_an_age_that_cannot_be_is_unknown_and_said_so(tmp_path: Path) -> None:
    rows = [row("1.png", "Mass", 1, age="414"), row("2.png", "Mass", 2, age="058Y")]
    collection = read_nih(table_and_films(tmp_path, rows))
    assert [sample.age_years for sample in collection.samples] == [None, 58]
    (remark,) = collection.remarks
    assert (remark.kind, len(remark.places)) == ("impossible_age", 1)
    assert "line 2: 414" in str(remark)


def test_rows_of_patients_older_than_asked_are_left_out_and_counted(tmp_path: Path) -> None:
    ages = ["414", "148Y", "0124.0", "123", "058Y", "013M", ""]
    rows = [row(f"{number}.png", "Mass", number, age=age) for number, age in enumerate(ages)]
    directory = table_and_films(tmp_path, rows)
    (directory / "1.png").unlink()
    collection = read_collection(directory, data_recipe(oldest_years=123))
    # 013M is months, which this table's readers never took; 123 is not above the bound, and nobody's age all the same.
    assert {sample.id: sample.age_years for sample in collection.samples} == {
        "3.png": None,
        "4.png": 58,
        "5.png": None,
        "6.png": None,
    }
    too_old, impossible = collection.remarks
    assert (too_old.kind, len(too_old.places)) == ("too_old", 3)
    assert "older than data.oldest_years (123)" in str(too_old)
    assert "line 2: 414" in str(too_old)
    assert (impossible.kind, len(impossible.places)) == ("impossible_age", 2)


def test_a_film_of_nobody_is_refused_by_its_line(tmp_path: Path) -> None:
    nobody = ["1.png", "Mass", "0", " ", *row("1.png", "Mass", 1)[4:]]
    with pytest.raises(DatasetError, match=r"rows that name no patient: .*line 2$"):
        read_nih(table_and_films(tmp_path, [nobody]))


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ("image_index,official_split\n1.png,test\n", "lacks the column rsna_says_normal"),
        ("image_index,rsna_says_normal\n1.png,yes\n", "line 2: rsna_says_normal is neither 0 nor 1"),
        ("image_index,rsna_says_normal\n1.png\n", "line 2 has too few columns"),
        ("image_index,rsna_says_normal\n1.png,0\n1.png,1\n", r"notes films twice: line 3: 1\.png"),
        ("image_index,rsna_says_normal,official_split\n1.png,0,tset\n", r"parts that are none of .*line 2: 'tset'"),
    ],
)
def test_notes_that_cannot_be_understood_are_refused(tmp_path: Path, notes: str, said: str) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass", 1)])
    (directory / "notes.csv").write_text(notes)
    with pytest.raises(DatasetError, match=said):
        read_nih(directory)


@pytest.mark.parametrize("name", ["Data_Entry_2017.csv", "notes.csv", "test_list.txt"])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, name: str) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass", 1)])
    (directory / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=rf"{name} cannot be read"):
        read_nih(directory)


def test_a_table_that_is_no_csv_is_named(tmp_path: Path) -> None:
    directory = table_and_films(tmp_path, [row("1.png", "Mass" * 50_000, 1)])
    with pytest.raises(DatasetError, match="field larger than field limit"):
        read_nih(directory)


def test_the_real_table_has_the_counts_that_its_readme_states() -> None:
    samples = read_nih(shared_data("nih")).samples
    assert len(samples) == 1380
    assert sum(sample.is_unhealthy for sample in samples) == 859
    assert sum(sample.is_disputed for sample in samples) == 140
