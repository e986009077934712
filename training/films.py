"""Turns film files into tensors with the very functions that serve them, once, into one file per size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.errors import ImageError
from model.image import Tensor
from model.preprocessing import PreprocessingSpec, preprocess
from training.errors import DatasetError

# Enough to keep every core busy while one film takes long; 256 tensors of 512 px are 64 MiB.
_FILMS_AHEAD = 256


def film_tensor(path: Path, spec: PreprocessingSpec) -> Tensor:
    """Return the film as ``(1, s, s)`` uint8, exactly as a worker would see it.

    Raises
    ------
    DatasetError
        If the film cannot be decoded; the message names the file.
    """
    try:
        return preprocess(decode(path, inspect_header(path)), spec)
    except ImageError as error:
        raise DatasetError(f"{path} cannot be read as a film: {error.reason}") from error


def film_tensors(paths: Sequence[Path], spec: PreprocessingSpec) -> Iterator[Tensor]:
    """Yield the tensors of ``paths`` in order, decoded on all cores (the codecs release Python's lock).

    At most ``_FILMS_AHEAD`` films wait for a slow reader, however many there are.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        ahead: deque[Future[Tensor]] = deque()
        try:
            for path in paths:
                ahead.append(pool.submit(film_tensor, path, spec))
                if len(ahead) == _FILMS_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def tensor_batches(path: Path, rows: Sequence[int], *, size: int = 64) -> Iterator[Tensor]:
    """Yield the chosen rows of a tensor cache in blocks ``(b, 1, s, s)``; only one block is in memory."""
    cache = np.load(path, mmap_mode="r", allow_pickle=False)
    for start in range(0, len(rows), size):
        yield np.ascontiguousarray(cache[list(rows[start : start + size])])


def read_tensors(path: Path, rows: Sequence[int]) -> Tensor:
    """Return the chosen rows of a tensor cache, ``(n, 1, s, s)`` uint8, in memory."""
    cache = np.load(path, mmap_mode="r", allow_pickle=False)
    chosen: Tensor = np.ascontiguousarray(cache[list(rows)])
    return chosen
