"""Archives of films are read as a stream, and refused by name where they are not what they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.datasets import phantom_frames, write_archive
from training.datasets.film_arrays import FrameReader, array_lengths, read_frames
from training.errors import DatasetError

LABELS = {part: np.zeros((count, 1), dtype=np.uint8) for part, count in (("train", 3), ("val", 1), ("test", 2))}


def test_films_come_in_the_order_of_train_val_and_test(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "films.npz", LABELS)
    assert array_lengths(path) == (3, 1, 2)
    np.testing.assert_array_equal(np.stack(list(read_frames(path))), phantom_frames(6))


def test_films_are_found_by_number_forwards_and_backwards(tmp_path: Path) -> None:
    reader, films = FrameReader(write_archive(tmp_path / "films.npz", LABELS)), phantom_frames(6)
    for frame in (1, 1, 5, 0):
        np.testing.assert_array_equal(reader.pixels(frame), films[frame])
    with pytest.raises(DatasetError, match="has no film 6: it holds 6"):
        reader.pixels(6)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (None, "lacks the array val_images"),
        (np.zeros((1, 28, 28, 3), dtype=np.uint8), r"val_images is uint8 of shape \(1, 28, 28, 3\)"),
        (np.zeros((1, 28, 28), dtype=np.float32), "val_images is float32"),
    ],
)
def test_arrays_that_are_no_gray_films_are_named(tmp_path: Path, images: np.ndarray | None, said: str) -> None:
    path = write_archive(tmp_path / "films.npz", LABELS, val_images=images)
    with pytest.raises(DatasetError, match=said):
        array_lengths(path)


def test_an_archive_that_is_cut_off_or_damaged_is_named(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "films.npz", LABELS)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match=r"films\.npz cannot be read as an \.npz archive"):
        array_lengths(path)
    damaged = bytearray(content)
    damaged[300:400] = bytes(100)
    path.write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"films\.npz cannot be read as an \.npz archive"):
        list(read_frames(path))
