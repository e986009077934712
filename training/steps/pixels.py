"""Second step: every film decoded once and preprocessed to all sizes of the recipe, by the functions that serve films.

One file a size; every later step reads pixels from there alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from model.image import Tensor
from training.datasets.films import FilmSource, film_tensors
from training.datasets.sample import read_samples
from training.errors import RunError
from training.progress import track
from training.step import StepContext


def run(context: StepContext, output: Path) -> None:
    """Write ``tensors-<size>.npy``, ``(n, 1, s, s)`` uint8 in the order of the samples, for each size.

    Raises
    ------
    DatasetError
        If a film cannot be decoded; the message names the file.
    RunError
        If the disk has no room for the caches; nothing was decoded then.
    """
    recipe = context.order.recipe
    samples = [sample for sample, _ in read_samples(context.run.samples)]
    caches = [_reserve(output / context.run.tensors(size).name, len(samples), size) for size in recipe.sizes]
    specs = [recipe.preprocessing.model_copy(update={"size": size}) for size in recipe.sizes]
    films = (FilmSource(context.order.data / sample.path, sample.frame) for sample in samples)
    tensors = film_tensors(films, specs)
    _fill(caches, track(tensors, total=len(samples), label="decoding films", console=context.console))


def _reserve(path: Path, films: int, size: int) -> Tensor:
    """Return a cache whose every byte the disk has promised.

    Found only while writing to a sparse map, a full disk would end the process by a signal, hours later.
    """
    needed_bytes = films * size * size
    try:
        cache: Tensor = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(films, 1, size, size))
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise RunError(
            f"cannot reserve {needed_bytes / 2**20:,.0f} MiB for {path} ({error.strerror}); "
            f"it holds {films} films of {size} px"
        ) from error
    return cache


def _fill(caches: list[Tensor], rows: Iterable[tuple[Tensor, ...]]) -> None:
    for row, tensors in enumerate(rows):
        for cache, tensor in zip(caches, tensors, strict=True):
            cache[row] = tensor
    for cache in caches:
        assert isinstance(cache, np.memmap)
        cache.flush()
