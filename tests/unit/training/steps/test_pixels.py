"""One cache a size, the bytes that are served in it, and a full disk that is told before any film is decoded."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from model.preprocessing import PreprocessingSpec
from tests.support.datasets import write_archive, write_collection
from tests.support.training_runs import context_of, tiny_recipe
from training.datasets.films import FilmSource, film_tensors
from training.datasets.sample import read_samples
from training.errors import DatasetError, RunError
from training.recipe import Recipe
from training.step import StepContext
from training.steps import manifest, pixels


def after_manifest(tmp_path: Path, recipe: Recipe, data: Path) -> StepContext:
    context = context_of(tmp_path / "run", recipe, data)
    context.run.samples.parent.mkdir(parents=True)
    manifest.run(context, context.run.samples.parent)
    (tmp_path / "pixels").mkdir()
    return context


@contextmanager
def largest_file(limit_bytes: int) -> Iterator[None]:
    """Let no file grow beyond ``limit_bytes``: what a full disk is to a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_every_size_of_the_recipe_has_its_cache_in_the_order_of_the_samples(tmp_path: Path) -> None:
    recipe = tiny_recipe(scratch={"size": 48})
    data = write_collection(tmp_path / "data", patients=24, pixels=64)
    context = after_manifest(tmp_path, recipe, data)
    pixels.run(context, tmp_path / "pixels")
    films = [FilmSource(data / sample.path) for sample, _ in read_samples(context.run.samples)]
    assert sorted(path.name for path in (tmp_path / "pixels").iterdir()) == ["tensors-32.npy", "tensors-48.npy"]
    for size in (32, 48):
        served = [tensor for (tensor,) in film_tensors(films, [PreprocessingSpec(size=size)])]
        np.testing.assert_array_equal(np.load(tmp_path / "pixels" / f"tensors-{size}.npy"), np.stack(served))


def test_films_of_an_archive_are_cached_too(tmp_path: Path) -> None:
    recipe = tiny_recipe(data={"reader": "medmnist", "healthy": ["Normal"], "official_test": True})
    labels = {part: (np.arange(30) % 2).astype(np.uint8).reshape(-1, 1) for part in ("train", "val", "test")}
    archive = write_archive(tmp_path / "data" / "pneumoniamnist.npz", labels)
    context = after_manifest(tmp_path, recipe, tmp_path / "data")
    pixels.run(context, tmp_path / "pixels")
    (last,) = list(film_tensors([FilmSource(archive, 89)], [recipe.preprocessing]))
    cache = np.load(tmp_path / "pixels" / "tensors-32.npy")
    assert cache.shape == (90, 1, 32, 32)
    np.testing.assert_array_equal(cache[89], last[0])


def test_a_full_disk_is_one_message_that_names_the_file(tmp_path: Path) -> None:
    context = after_manifest(tmp_path, tiny_recipe(), write_collection(tmp_path / "data", patients=24, pixels=32))
    with largest_file(20_000), pytest.raises(RunError, match=r"cannot reserve .* for .*tensors-32\.npy \(File too"):
        pixels.run(context, tmp_path / "pixels")


def test_a_film_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    data = write_collection(tmp_path / "data", patients=24, pixels=32)
    context = after_manifest(tmp_path, tiny_recipe(), data)
    broken = data / "images" / "00000007_001.png"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"00000007_001\.png cannot be read as a film"):
        pixels.run(context, tmp_path / "pixels")
