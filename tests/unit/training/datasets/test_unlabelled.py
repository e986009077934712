"""Films for pretraining are all films of a folder, but for those that a labelled collection holds too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shared_data import shared_data
from training.datasets.collection import Notices
from training.datasets.unlabelled import unlabelled_films
from training.errors import DatasetError


def films(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(b"")


def test_every_film_below_a_folder_comes_sorted(tmp_path: Path) -> None:
    films(tmp_path, "b.png", "a/c.JPEG", "a/d.dcm", "a/notes.txt", "e.jpg")
    assert unlabelled_films(tmp_path, Notices()) == tuple(
        tmp_path / name for name in ("a/c.JPEG", "a/d.dcm", "b.png", "e.jpg")
    )


def test_films_that_an_index_matches_to_a_labelled_collection_are_left_out(tmp_path: Path) -> None:
    films(tmp_path, "a.png", "set/b.png", "set/c.png", "other/d.png")
    (tmp_path / "set" / "index.csv").write_text("file,class,nih_match\nb.png,normal,00000001_000.png\nc.png,normal,\n")
    (tmp_path / "other" / "index.csv").write_text("file,class\nd.png,normal\n")
    assert [path.name for path in unlabelled_films(tmp_path, Notices())] == ["a.png", "d.png", "c.png"]


def test_a_match_that_cannot_be_left_out_is_named(tmp_path: Path) -> None:
    films(tmp_path, "a.png")
    (tmp_path / "index.csv").write_text("file,nih_match\nb.png,00000001_000.png\n")
    with pytest.raises(DatasetError, match=r"index\.csv line 2 names b\.png, which is not there"):
        unlabelled_films(tmp_path, Notices())


def test_a_folder_without_films_or_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no"):
        unlabelled_films(tmp_path, Notices())
    with pytest.raises(DatasetError, match="is not a directory"):
        unlabelled_films(tmp_path / "absent", Notices())


def test_of_the_real_folder_140_films_are_left_out() -> None:
    assert len(unlabelled_films(shared_data("radiography"), Notices())) == 4999 - 140
