"""The compiled loops: equal to numpy, for the announced types only, and there wherever a process may be started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import model
from model.kernels import GrayScale, area_means, count_values, look_up

SCALE = GrayScale(*np.array([0, 0, 255, 1, 0, 0, 1], dtype=np.float32))
LOAD = "from model.kernels import load_kernels; load_kernels()"


def noise(dtype: Any, *shape: int) -> Any:
    limits = np.iinfo(dtype)
    return np.random.default_rng(3).integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 66), (101, 97)], ids=str)
def test_values_are_counted_as_numpy_counts_them(dtype: Any, shape: tuple[int, int]) -> None:
    pixels = noise(dtype, *shape)
    pixels[: shape[0] // 2] = pixels[0, 0]
    bits = pixels.view(np.uint8 if pixels.dtype.itemsize == 1 else np.uint16)
    expected = np.bincount(bits.reshape(-1), minlength=2 ** (8 * pixels.dtype.itemsize))
    np.testing.assert_array_equal(count_values(pixels), expected)
    np.testing.assert_array_equal(count_values(pixels[:, ::-1]), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_a_table_is_looked_up_by_the_bits_of_a_value(dtype: Any) -> None:
    pixels = noise(dtype, 33, 31)
    table = noise(np.uint16, 2 ** (8 * pixels.dtype.itemsize))
    bits = pixels.view(np.uint8 if pixels.dtype.itemsize == 1 else np.uint16)
    np.testing.assert_array_equal(look_up(pixels, table), table[bits])
    np.testing.assert_array_equal(look_up(pixels[::2], table), table[bits[::2]])


def test_a_table_that_is_too_short_is_not_read_beyond_its_end() -> None:
    with pytest.raises(AssertionError):
        look_up(noise(np.uint16, 2, 2), np.zeros(256, np.uint16))


def test_other_types_are_refused_instead_of_compiled() -> None:
    with pytest.raises(TypeError):
        area_means(np.zeros((4, 4), np.float64), (4, 4), (2, 2), SCALE)


@pytest.mark.parametrize(
    ("extent", "shape"), [((5, 4), (2, 2)), ((4, 5), (2, 2)), ((2, 4), (3, 2)), ((4, 4), (0, 2)), ((0, 4), (0, 2))]
)
def test_nothing_is_read_beyond_the_last_pixel(extent: tuple[int, int], shape: tuple[int, int]) -> None:
    with pytest.raises(AssertionError):
        area_means(np.zeros((4, 4), np.uint8), extent, shape, SCALE)


def copy_sources(package: Path) -> Path:
    source = Path(model.__file__).parent
    shutil.copytree(source, package / "model", ignore=shutil.ignore_patterns("__pycache__", "bundles"))
    return package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a folder with a copy of ``model`` whose loops nobody has compiled."""
    return copy_sources(tmp_path)


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of ``model`` whose loops are compiled, which takes seconds; for copying only."""
    package = copy_sources(tmp_path_factory.mktemp("compiled"))
    load_kernels(package)
    assert cached(package)
    return package


@pytest.fixture
def compiled_package(compiled_once: Path, tmp_path: Path) -> Path:
    """Return a folder of this test's own with a copy of ``model`` and its machine code, as old as its sources say."""
    shutil.copytree(compiled_once / "model", tmp_path / "model")
    return tmp_path


def load_kernels(package: Path) -> None:
    """Load the copy's loops in a process of their own, whose home anybody may have written to."""
    home = package / "home"
    home.mkdir(exist_ok=True)
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), str(home))
    environment = os.environ | places | {"PYTHONPATH": str(package)}
    subprocess.run([sys.executable, "-P", "-W", "error", "-c", LOAD], env=environment, cwd=package, check=True)
    assert not list(home.iterdir()), "machine code comes from beside the source, or from the compiler"


def cached(package: Path) -> list[Path]:
    return sorted(path for path in (package / "model" / "kernels").rglob("*.nb?"))


def test_loops_are_compiled_once_where_their_directory_can_be_written(compiled_package: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in cached(compiled_package)}
    assert before
    load_kernels(compiled_package)
    assert {path: path.stat().st_mtime_ns for path in cached(compiled_package)} == before


def test_loops_are_there_where_nothing_can_be_written(package: Path) -> None:
    """In a container with a read-only root. A file in the directory's place, because root may write everywhere."""
    (package / "model" / "kernels" / "__pycache__").write_text("")
    load_kernels(package)
    assert cached(package) == []


def test_a_damaged_cache_costs_time_only(compiled_package: Path) -> None:
    """A machine that lost its power while the caches were written; each loop has one, cut elsewhere."""
    kept_bytes = {"add_areas": 400, "count": 5, "look_up": 0}
    by_loop = {path: path.name.removeprefix("loops.").partition("-")[0] for path in cached(compiled_package)}
    assert set(by_loop.values()) == set(kept_bytes)
    for path, loop in by_loop.items():
        path.write_bytes(path.read_bytes()[: kept_bytes[loop]])
    load_kernels(compiled_package)


@pytest.mark.parametrize("room", ["services.api.app", "services.worker.application", "training.cli"])
def test_only_processes_that_open_films_load_the_compiler(room: str) -> None:
    loaded = f"import sys, {room}; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], check=True)
