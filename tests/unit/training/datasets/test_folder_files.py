"""No folder is passed over without a word, whatever the form of the collection."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.datasets import data_recipe, row, write_table
from tests.support.films import dicom_film
from training.datasets.collection import Notices
from training.datasets.folder_files import files_below
from training.datasets.reading import read_collection
from training.datasets.unlabelled import unlabelled_films
from training.errors import DatasetError


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Return a folder that every reader can read, with a link to a folder beside its films."""
    (tmp_path / "elsewhere").mkdir()
    directory = tmp_path / "films"
    (directory / "normal").mkdir(parents=True)
    for name in ("a.png", "normal/00000001_000.png"):
        (directory / name).write_bytes(b"")
    (directory / "film.dcm").write_bytes(dicom_film(seed=0, rows=64, columns=64, PatientID="1"))
    (directory / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    write_table(directory / "Data_Entry_2017.csv", [row("a.png", "Mass", 1)])
    return directory


@pytest.mark.parametrize("reader", ["nih", "csv", "dicom"])
def test_a_folder_that_is_a_link_is_remarked_by_every_reader_that_walks(films: Path, reader: str) -> None:
    labelled = "film.dcm" if reader == "dicom" else "00000001_000.png"
    (films / "labels.csv").write_text(f"image,findings\n{labelled},Mass\n")
    remarks = {remark.kind: remark.places for remark in read_collection(films, data_recipe(reader=reader)).remarks}
    assert remarks["linked_folder"] == ("linked",)


def test_a_class_folder_that_is_a_link_is_remarked(films: Path) -> None:
    (films / "a.png").rename(films / "normal" / "a.png")
    collection = read_collection(films, data_recipe(reader="folders", healthy=("normal",)))
    assert {remark.kind: remark.places for remark in collection.remarks}["linked_folder"] == ("linked",)


def test_a_linked_folder_of_films_without_labels_is_remarked_once(films: Path) -> None:
    remarks = Notices()
    assert len(unlabelled_films(films, remarks)) == 3
    assert [(remark.kind, remark.places) for remark in remarks] == [("linked_folder", ("linked",))]


def test_a_folder_that_vanishes_while_it_is_walked_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "film.png").write_bytes(b"")
    walk = files_below(tmp_path, Notices())
    gone = tmp_path / ("b" if next(walk).parts[0] == "a" else "a")
    (gone / "film.png").unlink()
    gone.rmdir()
    with pytest.raises(DatasetError, match=rf"cannot list the folder {gone} \(No such file or directory\)"):
        list(walk)
