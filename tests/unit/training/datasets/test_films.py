"""What trains is byte for byte what is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.preprocessing import PreprocessingSpec, preprocess
from tests.support.datasets import phantom_frames, write_archive, write_collection
from tests.support.films import png_film
from tests.support.shared_data import shared_data
from training.datasets.films import FilmSource, film_tensors, read_tensors, try_film_tensors
from training.errors import DatasetError

SPEC = PreprocessingSpec(size=64)
SMALL = PreprocessingSpec(size=32)


def served_tensor(path: Path, spec: PreprocessingSpec = SPEC) -> bytes:
    """Return the film's tensor on the way that a worker takes, from the payload's bytes."""
    payload = path.read_bytes()
    return preprocess(decode(payload, inspect_header(payload)), spec).tobytes()


def sources(paths: list[Path]) -> list[FilmSource]:
    return [FilmSource(path) for path in paths]


def test_a_training_tensor_is_the_serving_tensor_of_a_drawn_film_at_every_size(tmp_path: Path) -> None:
    paths = sorted(write_collection(tmp_path, patients=3).rglob("*.png"))
    tensors = list(film_tensors(sources(paths), [SPEC, SMALL]))
    assert [large.tobytes() for large, _ in tensors] == [served_tensor(path) for path in paths]
    assert [small.tobytes() for _, small in tensors] == [served_tensor(path, SMALL) for path in paths]
    assert {(large.shape, large.dtype) for large, _ in tensors} == {((1, 64, 64), np.dtype(np.uint8))}


def test_a_training_tensor_is_the_serving_tensor_of_a_real_film() -> None:
    paths = sorted(shared_data("nih", "images").iterdir())[::25]
    tensors = film_tensors(sources(paths), [SPEC])
    assert [tensor.tobytes() for (tensor,) in tensors] == [served_tensor(path) for path in paths]


def test_a_film_of_an_archive_is_the_same_film_as_a_png(tmp_path: Path) -> None:
    labels = {part: np.zeros((2, 1), dtype=np.uint8) for part in ("train", "val", "test")}
    archive = write_archive(tmp_path / "films.npz", labels)
    for frame, pixels in enumerate(phantom_frames(6)):
        (tmp_path / f"{frame}.png").write_bytes(png_film(pixels))
    # Out of order too: an archive is a stream, and steps backwards begin it again.
    order = [0, 3, 5, 1]
    tensors = film_tensors([FilmSource(archive, frame) for frame in order], [SPEC])
    assert [tensor.tobytes() for (tensor,) in tensors] == [served_tensor(tmp_path / f"{frame}.png") for frame in order]


def test_a_film_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    paths = sorted(write_collection(tmp_path, patients=2).rglob("*.png"))
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    paths[3].unlink()
    with pytest.raises(DatasetError, match=paths[2].name):
        list(film_tensors(sources(paths), [SPEC]))
    first, second, third, fourth = try_film_tensors(sources(paths), [SPEC])
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert f"{paths[2]} cannot be read as a film: decode_error" in str(third)
    assert f"{paths[3]} cannot be read: No such file" in str(fourth)


def test_only_so_many_films_are_decoded_ahead_of_a_slow_reader(tmp_path: Path) -> None:
    film = next(write_collection(tmp_path, patients=1, pixels=32).rglob("*.png"))
    asked = 0

    def films() -> Iterator[FilmSource]:
        nonlocal asked
        for _ in range(600):
            asked += 1
            yield FilmSource(film)

    tensors = film_tensors(films(), [SPEC])
    next(tensors)
    assert asked < 300
    assert sum(1 for _ in tensors) == 599


def test_chosen_rows_come_in_the_order_they_were_asked_for(tmp_path: Path) -> None:
    cache = np.arange(5 * 4, dtype=np.uint8).reshape(5, 1, 2, 2)
    np.save(tmp_path / "tensors.npy", cache)
    np.testing.assert_array_equal(read_tensors(tmp_path / "tensors.npy", [3, 0]), cache[[3, 0]])
