"""Second step: every film decoded and preprocessed once, by the functions that serve films, into one file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from training.datasets.sample import read_samples
from training.films import film_tensors
from training.progress import track
from training.step import StepContext


def run(context: StepContext, output: Path) -> None:
    """Write ``tensors.npy``, ``(n, 1, s, s)`` uint8 in the order of the samples.

    Raises
    ------
    DatasetError
        If a film cannot be decoded; the message names the file.
    """
    paths = [context.order.data / sample.path for sample, _ in read_samples(context.run.samples)]
    spec = context.order.recipe.preprocessing
    cache = np.lib.format.open_memmap(
        output / context.run.tensors.name, mode="w+", dtype=np.uint8, shape=(len(paths), 1, spec.size, spec.size)
    )
    # A full disk is an error now; found only while writing to a sparse map, it would end the process by a signal.
    with (output / context.run.tensors.name).open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, cache.offset + cache.nbytes)
    tensors = film_tensors(paths, spec)
    for row, tensor in enumerate(track(tensors, total=len(paths), label="decoding films", console=context.console)):
        cache[row] = tensor
    cache.flush()
