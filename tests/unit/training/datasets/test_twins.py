"""Films that a labelled collection holds too do not pretrain, however they were resampled and compressed again."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from model.phantom import chest_phantom
from tests.support.films import png_film
from training.datasets.twins import without_twins
from training.errors import DatasetError

QUIET = Console(file=io.StringIO())


def drawing(seed: int, pixels: int) -> np.ndarray:
    return np.rint(chest_phantom(seed, rows=pixels, columns=pixels, opacity=seed / 10) * 255).astype(np.uint8)


def write(path: Path, film: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_film(film))
    return path


def test_a_resampled_copy_of_a_labelled_film_is_left_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(3)
    labelled = [drawing(1, 256), noise.integers(0, 255, (256, 256), dtype=np.uint8)]
    for number, film in enumerate(labelled):
        write(tmp_path / "labelled" / f"{number}.png", film)
    copy = cv2.resize(labelled[1], (180, 180), interpolation=cv2.INTER_AREA)
    films = [
        write(tmp_path / "other" / "copy.png", copy),
        write(tmp_path / "other" / "stranger.png", noise.integers(0, 255, (180, 180), dtype=np.uint8)),
    ]
    assert without_twins(films, tmp_path / "labelled", QUIET) == (films[1],)


def test_a_collection_without_films_cannot_be_compared_with(tmp_path: Path) -> None:
    (tmp_path / "labelled").mkdir()
    film = write(tmp_path / "other" / "a.png", drawing(2, 96))
    with pytest.raises(DatasetError, match="labelled holds no film"):
        without_twins([film], tmp_path / "labelled", QUIET)


def test_a_collection_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="absent is not a directory"):
        without_twins([], tmp_path / "absent", QUIET)
