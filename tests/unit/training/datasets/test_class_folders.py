"""Folders are classes, and a name that tells its patient is taken at its word."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.datasets import data_recipe
from tests.support.shared_data import shared_data
from training.datasets.reading import read_collection
from training.errors import DatasetError

FOLDERS = data_recipe(reader="folders", healthy=("normal",))


def films(directory: Path, *names: str) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return directory


def test_folders_become_labels(tmp_path: Path) -> None:
    films(tmp_path, "normal/a.png", "covid/deep/b.JPG", "pneumonia/a.jpeg", "normal/notes.txt")
    samples = read_collection(tmp_path, FOLDERS).samples
    assert {sample.id: sample.findings for sample in samples} == {
        "normal/a.png": (),
        "covid/deep/b.JPG": ("covid",),
        "pneumonia/a.jpeg": ("pneumonia",),
    }
    assert all(sample.official_part is None for sample in samples)


def test_folders_of_parts_around_the_classes_are_official_parts(tmp_path: Path) -> None:
    films(tmp_path, "train/normal/a.png", "val/covid/b.png", "test/normal/c.png")
    samples = read_collection(tmp_path, FOLDERS).samples
    assert {(sample.id, sample.official_part, sample.findings) for sample in samples} == {
        ("train/normal/a.png", "train", ()),
        ("val/covid/b.png", "select", ("covid",)),
        ("test/normal/c.png", "test", ()),
    }


def test_a_patient_that_a_name_tells_is_kept_beside_names_that_tell_none(tmp_path: Path) -> None:
    films(tmp_path, "normal/00000013_005.png", "covid/00000013_006.png")
    collection = read_collection(tmp_path, FOLDERS)
    assert [sample.patient for sample in collection.samples] == ["13", "13"]
    assert not collection.remarks
    films(tmp_path, "covid/person13_virus_1.jpeg")
    collection = read_collection(tmp_path, FOLDERS)
    assert {sample.id: sample.patient for sample in collection.samples} == {
        "normal/00000013_005.png": "13",
        "covid/00000013_006.png": "13",
        "covid/person13_virus_1.jpeg": "covid/person13_virus_1.jpeg",
    }
    (remark,) = collection.remarks
    assert (remark.kind, remark.places) == ("patients_unknown", ("covid/person13_virus_1.jpeg",))


def test_films_of_another_kind_are_counted_not_forgotten(tmp_path: Path) -> None:
    films(tmp_path, "normal/00000001_000.png", "covid/00000002_000.png", "covid/a.dcm", "covid/b.DCM", "covid/c.tif")
    (remark,) = read_collection(tmp_path, FOLDERS).remarks
    assert remark.places == ("2 .dcm files", "1 .tif files")


def test_a_film_outside_of_every_class_is_named(tmp_path: Path) -> None:
    films(tmp_path, "normal/a.png", "b.png")
    with pytest.raises(DatasetError, match=r"in no class folder: b\.png"):
        read_collection(tmp_path, FOLDERS)


def test_without_a_healthy_folder_the_classes_are_named(tmp_path: Path) -> None:
    films(tmp_path, "NORMAL/a.png", "covid/b.png")
    with pytest.raises(DatasetError, match=r"data\.healthy \(normal\) names none of the folders .*: NORMAL, covid"):
        read_collection(tmp_path, FOLDERS)


def test_a_folder_without_films_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no \.png or \.jpg film"):
        read_collection(tmp_path, FOLDERS)


def test_the_real_folders_have_the_counts_that_their_readme_states() -> None:
    samples = read_collection(shared_data("radiography"), FOLDERS).samples
    assert (len(samples), sum(sample.is_unhealthy for sample in samples)) == (4999, 1000)
