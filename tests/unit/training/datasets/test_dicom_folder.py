"""DICOM folders: the header speaks, the gate's refusals are left out aloud, and patients become pseudonyms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.datasets import data_recipe
from tests.support.films import CT_STORAGE, dicom_film, png_film, uid_of
from training.datasets.reading import read_collection, survey_collection
from training.errors import DatasetError

DICOM = data_recipe(reader="dicom")


def folder(directory: Path, rows: str, **films: dict[str, Any]) -> Path:
    (directory / "labels.csv").write_text("image,findings\n" + rows)
    for seed, (name, attributes) in enumerate(films.items()):
        (directory / f"{name}.dcm").write_bytes(dicom_film(seed=seed, rows=64, columns=64, **attributes))
    return directory


def test_labels_are_found_by_path_and_by_sop_instance_uid(tmp_path: Path) -> None:
    uid = uid_of("second")
    rows = f"a.dcm,Mass|Nodule\n{uid},No Finding\n"
    a = {"PatientID": "MRN-1", "PatientAge": "058Y", "PatientSex": "F", "ViewPosition": "AP"}
    b = {"PatientID": "MRN-1", "SOPInstanceUID": uid, "PatientAge": None}
    collection = read_collection(folder(tmp_path, rows, a=a, b=b), DICOM)
    first, second = collection.samples
    assert (first.id, first.findings, first.view, first.age_years, first.sex) == (
        "a.dcm",
        ("Mass", "Nodule"),
        "AP",
        58,
        "F",
    )
    assert (second.id, second.findings, second.age_years) == ("b.dcm", (), None)
    assert first.patient == second.patient
    assert "MRN" not in first.patient
    assert not collection.remarks


def test_one_patient_stays_one_whether_or_not_a_film_states_who_issued_the_identifier(tmp_path: Path) -> None:
    a, b = {"PatientID": "1"}, {"PatientID": "1", "IssuerOfPatientID": "north"}
    samples = read_collection(folder(tmp_path, "a.dcm,Mass\nb.dcm,Mass\n", a=a, b=b), DICOM).samples
    assert samples[0].patient == samples[1].patient


def test_a_film_without_patient_is_its_own_and_named(tmp_path: Path) -> None:
    directory = folder(tmp_path, "a.dcm,Mass\nb.dcm,Mass\n", a={"PatientID": ""}, b={"PatientID": "1"})
    collection = read_collection(directory, DICOM)
    assert collection.samples[0].patient == "a.dcm"
    (remark,) = collection.remarks
    assert (remark.kind, remark.places) == ("patients_unknown", ("a.dcm",))


def test_a_patient_column_outvotes_the_header(tmp_path: Path) -> None:
    directory = folder(tmp_path, "", a={"PatientID": "ANON"}, b={"PatientID": "ANON"})
    (directory / "labels.csv").write_text("image,findings,who\na.dcm,Mass,x\nb.dcm,Mass,y\n")
    recipe = data_recipe(reader="dicom", columns={"patient": "who"})
    assert [sample.patient for sample in read_collection(directory, recipe).samples] == ["x", "y"]


def test_what_a_worker_would_refuse_is_left_out_and_named(tmp_path: Path) -> None:
    rows = "a.dcm,Mass\nlateral.dcm,Mass\nct.dcm,Mass\nchild.dcm,Mass\n"
    directory = folder(
        tmp_path,
        rows,
        a={"PatientID": "1"},
        lateral={"ViewPosition": "LL"},
        ct={"SOPClassUID": CT_STORAGE},
        child={"PatientAge": "004Y", "PatientBirthDate": None},
    )
    collection = read_collection(directory, DICOM)
    assert [sample.id for sample in collection.samples] == ["a.dcm"]
    (remark,) = collection.remarks
    assert remark.kind == "left_out"
    assert [place.split(" (")[0] for place in remark.places] == [
        "child.dcm: age",
        "ct.dcm: sop_class",
        "lateral.dcm: view",
    ]


def test_files_without_label_and_broken_ones_without_label_are_remarks(tmp_path: Path) -> None:
    directory = folder(tmp_path, "a.dcm,Mass\n", a={"PatientID": "1"}, extra={"PatientID": "2"})
    (directory / "broken.dcm").write_bytes((directory / "a.dcm").read_bytes()[:180])
    (directory / "picture.png").write_bytes(png_film(seed=0))
    kinds = {remark.kind: remark.places for remark in read_collection(directory, DICOM).remarks}
    assert kinds["unlabelled"] == ("extra.dcm",)
    assert [place.split(":")[0] for place in kinds["left_out"]] == ["broken.dcm"]


@pytest.mark.parametrize("content", [b"not a film", b"\0" * 128 + b"DICM" + b"\2\0"])
def test_a_labelled_file_that_cannot_be_read_is_a_fault(tmp_path: Path, content: bytes) -> None:
    directory = folder(tmp_path, "a.dcm,Mass\nb.dcm,Mass\n", a={"PatientID": "1"})
    (directory / "b.dcm").write_bytes(content)
    with pytest.raises(DatasetError, match=r"cannot be read as DICOM: b\.dcm"):
        read_collection(directory, DICOM)


def test_a_label_without_a_film_and_one_of_two_films_are_faults(tmp_path: Path) -> None:
    uid = uid_of("same")
    both = {"PatientID": "1", "SOPInstanceUID": uid}
    directory = folder(tmp_path, f"{uid},Mass\ngone.dcm,Mass\nc.dcm,Mass\n", a=both, b=both, c={"PatientID": "2"})
    faults = {fault.kind: fault.places for fault in survey_collection(directory, DICOM).faults}
    assert faults == {"ambiguous": (f"line 2: {uid}",), "missing_film": ("line 3: gone.dcm",)}


def test_a_file_named_by_path_and_by_uid_is_listed_twice(tmp_path: Path) -> None:
    uid = uid_of("film")
    directory = folder(tmp_path, f"a.dcm,Mass\n{uid},No Finding\n", a={"PatientID": "1", "SOPInstanceUID": uid})
    with pytest.raises(DatasetError, match=r"lists films twice: a\.dcm"):
        read_collection(directory, DICOM)


def test_films_of_patients_older_than_asked_are_left_out_by_their_header(tmp_path: Path) -> None:
    ages = {"a": {"PatientAge": "080Y"}, "b": {"PatientAge": "081Y"}, "c": {"PatientAge": None}}
    films = {name: {"PatientID": name, **age} for name, age in ages.items()}
    recipe = DICOM.model_copy(update={"oldest_years": 80})
    collection = read_collection(folder(tmp_path, "a.dcm,Mass\nb.dcm,Mass\nc.dcm,No Finding\n", **films), recipe)
    assert [sample.id for sample in collection.samples] == ["a.dcm", "c.dcm"]
    (remark,) = collection.remarks
    assert (remark.kind, remark.places) == ("too_old", (f"{tmp_path / 'labels.csv'} line 3: 81.0",))
