"""Arrays on disk that are reserved whole, and cut where fewer rows came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.datasets.caches import flush, reserve, shorten
from training.errors import RunError


@pytest.mark.parametrize(("rows", "kept"), [(1000, 7), (12, 12), (3, 1), (100, 0)])
def test_a_shortened_array_is_the_array_of_its_first_rows(tmp_path: Path, rows: int, kept: int) -> None:
    path = tmp_path / "films.npy"
    cache = reserve(path, (rows, 1, 3, 2), np.uint8)
    cache[:] = (np.arange(rows * 6) % 251).reshape(cache.shape)
    expected = cache[:kept].copy()
    flush(cache)
    shorten(path, kept)
    found = np.load(path, allow_pickle=False)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.uint8
    np.save(tmp_path / "as_numpy.npy", expected)
    assert path.read_bytes()[-kept * 6 :] == (tmp_path / "as_numpy.npy").read_bytes()[-kept * 6 :]


def test_every_byte_is_reserved_at_once(tmp_path: Path) -> None:
    reserve(tmp_path / "features.npy", (1000, 64), np.float32)
    assert (tmp_path / "features.npy").stat().st_blocks * 512 >= 1000 * 64 * 4


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot reserve 0 MiB for .*absent/films\.npy \(No such file"):
        reserve(tmp_path / "absent" / "films.npy", (2, 1, 4, 4), np.uint8)
