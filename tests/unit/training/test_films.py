"""What trains is byte for byte what is served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.preprocessing import PreprocessingSpec, preprocess
from tests.support.datasets import write_collection
from tests.support.shared_data import shared_data
from training.errors import DatasetError
from training.films import film_tensors, read_tensors

SPEC = PreprocessingSpec(size=64)


def served_tensor(path: Path) -> bytes:
    """Return the film's tensor on the way that a worker takes, from the payload's bytes."""
    payload = path.read_bytes()
    return preprocess(decode(payload, inspect_header(payload)), SPEC).tobytes()


def test_a_training_tensor_is_the_serving_tensor_of_a_drawn_film(tmp_path: Path) -> None:
    paths = sorted(write_collection(tmp_path, patients=3).rglob("*.png"))
    tensors = list(film_tensors(paths, SPEC))
    assert [tensor.tobytes() for tensor in tensors] == [served_tensor(path) for path in paths]
    assert {(tensor.shape, tensor.dtype) for tensor in tensors} == {((1, 64, 64), np.dtype(np.uint8))}


def test_a_training_tensor_is_the_serving_tensor_of_a_real_film() -> None:
    paths = sorted(shared_data("nih", "images").iterdir())[::25]
    assert [tensor.tobytes() for tensor in film_tensors(paths, SPEC)] == [served_tensor(path) for path in paths]


def test_a_film_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    paths = sorted(write_collection(tmp_path, patients=2).rglob("*.png"))
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    with pytest.raises(DatasetError, match=paths[2].name):
        list(film_tensors(paths, SPEC))


class CountedPaths(Sequence[Path]):
    """One path, many times, that counts how often it was asked for."""

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count, self.asked = path, count, 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if index >= self._count:
            raise IndexError(index)
        self.asked += 1
        return self._path


def test_only_so_many_films_are_decoded_ahead_of_a_slow_reader(tmp_path: Path) -> None:
    film = next(write_collection(tmp_path, patients=1, pixels=32).rglob("*.png"))
    paths = CountedPaths(film, 600)
    tensors = film_tensors(paths, SPEC)
    next(tensors)
    assert paths.asked < 300
    assert sum(1 for _ in tensors) == 599


def test_chosen_rows_come_in_the_order_they_were_asked_for(tmp_path: Path) -> None:
    cache = np.arange(5 * 4, dtype=np.uint8).reshape(5, 1, 2, 2)
    np.save(tmp_path / "tensors.npy", cache)
    np.testing.assert_array_equal(read_tensors(tmp_path / "tensors.npy", [3, 0]), cache[[3, 0]])
