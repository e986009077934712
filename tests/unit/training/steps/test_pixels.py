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
from tests.support.training_runs import context_of, printed, tiny_recipe
from training.datasets.films import FilmSource, film_tensors
from training.datasets.sample import Part, read_samples
from training.datasets.unreadable import counts_by_part, read_unreadable
from training.errors import DatasetError, RunError
from training.recipe import Recipe
from training.step import StepContext
from training.steps import manifest, pixels


def after_manifest(tmp_path: Path, recipe: Recipe, data: Path) -> StepContext:
    context = context_of(tmp_path / "run", recipe, data)
    context.run.listed.parent.mkdir(parents=True)
    manifest.run(context, context.run.listed.parent)
    context.run.samples.parent.mkdir()
    return context


def decode(context: StepContext) -> Path:
    """Run the step, and return the folder that it wrote."""
    output = context.run.samples.parent
    pixels.run(context, output)
    return output


def broken(film: Path) -> Path:
    """Cut a film short."""
    film.write_bytes(film.read_bytes()[:100])
    return film


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
    output = decode(context)
    films = [FilmSource(data / sample.path) for sample, _ in read_samples(context.run.samples)]
    written = ["samples.csv", "tensors-32.npy", "tensors-48.npy", "unreadable.csv"]
    assert sorted(path.name for path in output.iterdir()) == written
    for size in (32, 48):
        served = [tensor for (tensor,) in film_tensors(films, [PreprocessingSpec(size=size)])]
        np.testing.assert_array_equal(np.load(context.run.tensors(size)), np.stack(served))
    assert context.run.samples.read_bytes() == context.run.listed.read_bytes()
    assert context.run.unreadable.read_text() == "image,part,reason\n"


def test_films_of_an_archive_are_cached_too(tmp_path: Path) -> None:
    recipe = tiny_recipe(data={"reader": "medmnist", "healthy": ["Normal"], "official_test": True})
    labels = {part: (np.arange(30) % 2).astype(np.uint8).reshape(-1, 1) for part in ("train", "val", "test")}
    archive = write_archive(tmp_path / "data" / "pneumoniamnist.npz", labels)
    context = after_manifest(tmp_path, recipe, tmp_path / "data")
    decode(context)
    (last,) = list(film_tensors([FilmSource(archive, 89)], [recipe.preprocessing]))
    cache = np.load(context.run.tensors(32))
    assert cache.shape == (90, 1, 32, 32)
    np.testing.assert_array_equal(cache[89], last[0])


def test_a_full_disk_is_one_message_that_names_the_file(tmp_path: Path) -> None:
    context = after_manifest(tmp_path, tiny_recipe(), write_collection(tmp_path / "data", patients=24, pixels=32))
    with largest_file(20_000), pytest.raises(RunError, match=r"cannot reserve .* for .*tensors-32\.npy \(File too"):
        decode(context)


def test_a_film_that_cannot_be_read_is_named_with_the_way_out(tmp_path: Path) -> None:
    data = write_collection(tmp_path / "data", patients=24, pixels=32)
    context = after_manifest(tmp_path, tiny_recipe(), data)
    broken(data / "images" / "00000007_001.png")
    with pytest.raises(
        DatasetError, match=r"00000007_001\.png cannot be read as a film.* data\.unreadable_images = 'skip'"
    ):
        decode(context)


def test_films_that_cannot_be_read_are_left_out_listed_and_printed_on_request(tmp_path: Path) -> None:
    data = write_collection(tmp_path / "data", patients=24, pixels=64)
    recipe = tiny_recipe(scratch={"size": 48}, data={"unreadable_images": "skip"})
    context = after_manifest(tmp_path, recipe, data)
    names = ["00000000_000.png", "00000007_001.png", "00000023_001.png"]
    for name in names:
        broken(data / "images" / name)
    decode(context)
    kept = [row for row in read_samples(context.run.listed) if row[0].id not in names]
    assert read_samples(context.run.samples) == kept
    for size in (32, 48):
        films = [FilmSource(data / sample.path) for sample, _ in kept]
        served = [tensor for (tensor,) in film_tensors(films, [PreprocessingSpec(size=size)])]
        np.testing.assert_array_equal(np.load(context.run.tensors(size)), np.stack(served))
    listed = read_unreadable(context.run.unreadable)
    assert [film.image for film in listed] == names
    assert all("cannot be read as a film: decode_error" in film.reason for film in listed)
    assert f"NOTE: 3 films do not decode and are left out ({context.run.unreadable}):" in printed(context)
    counts = counts_by_part(read_samples(context.run.samples))
    assert sum(part["films"] for part in counts.values()) == 45


def test_a_part_that_loses_all_films_of_a_class_is_an_error_that_says_why(tmp_path: Path) -> None:
    data = write_collection(tmp_path / "data", patients=24, pixels=32)
    context = after_manifest(tmp_path, tiny_recipe(data={"unreadable_images": "skip"}), data)
    select = [sample for sample, part in read_samples(context.run.listed) if part is Part.SELECT]
    for sample in select:
        broken(data / sample.path)
    said = rf"the select part .* \(0 unhealthy, 0 healthy\): {len(select)} films of the collection do not decode"
    with pytest.raises(DatasetError, match=said):
        decode(context)


def test_a_collection_of_which_nothing_decodes_is_an_error(tmp_path: Path) -> None:
    data = write_collection(tmp_path / "data", patients=24, pixels=32)
    context = after_manifest(tmp_path, tiny_recipe(data={"unreadable_images": "skip"}), data)
    for film in data.rglob("*.png"):
        broken(film)
    with pytest.raises(DatasetError, match=r"48 films of the collection do not decode, such as: .*00000000_000\.png"):
        decode(context)
