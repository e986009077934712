"""Turns film files into tensors with the very functions that serve them, once, into one file per size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.errors import ImageError
from model.image import GrayImage, Tensor
from model.preprocessing import PreprocessingSpec, preprocess
from training.datasets.film_arrays import FrameReader
from training.errors import DatasetError

# Enough to keep every core busy while one film takes long; 256 tensors of 512 px are 64 MiB.
_FILMS_AHEAD = 256

Tensors: TypeAlias = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class FilmSource:
    """Where a film's pixels are: its own file, or ``frame`` of an archive of arrays."""

    path: Path
    frame: int | None = None


def film_tensors(films: Iterable[FilmSource], specs: Sequence[PreprocessingSpec]) -> Iterator[Tensors]:
    """Yield for each film, in order, its tensors ``(1, s, s)`` uint8: one a spec, exactly as a worker would see them.

    A film is decoded once for all sizes, on all cores (the codecs release Python's lock). At most ``_FILMS_AHEAD``
    films wait for a slow reader, however many there are.

    Raises
    ------
    DatasetError
        At the first film that cannot be decoded; the message names the file.
    """
    with closing(try_film_tensors(films, specs)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, DatasetError):
                raise outcome
            yield outcome


def try_film_tensors(
    films: Iterable[FilmSource], specs: Sequence[PreprocessingSpec]
) -> Generator[Tensors | DatasetError, None, None]:
    """As ``film_tensors``, but yield the error of a film that cannot be decoded in its place."""
    readers: dict[Path, FrameReader] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        ahead: deque[Future[Tensors | DatasetError]] = deque()
        try:
            for film in films:
                ahead.append(_submit(pool, film, specs, readers))
                if len(ahead) == _FILMS_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _submit(
    pool: ThreadPoolExecutor, film: FilmSource, specs: Sequence[PreprocessingSpec], readers: dict[Path, FrameReader]
) -> Future[Tensors | DatasetError]:
    if film.frame is None:
        return pool.submit(_file_tensors, film.path, specs)
    # An archive is a stream, read here in order; 0 .. 255 is a raster film's range, as decode says of PNG and JPEG.
    if film.path not in readers:
        readers[film.path] = FrameReader(film.path)
    image = GrayImage(pixels=readers[film.path].pixels(film.frame), black=0.0, white=255.0)
    return pool.submit(_fitted, image, specs)


def _file_tensors(path: Path, specs: Sequence[PreprocessingSpec]) -> Tensors | DatasetError:
    try:
        return _fitted(decode(path, inspect_header(path)), specs)
    except ImageError as error:
        return DatasetError(f"{path} cannot be read as a film: {error.reason}: {error}")
    except OSError as error:
        return DatasetError(f"{path} cannot be read: {error.strerror}")


def _fitted(image: GrayImage, specs: Sequence[PreprocessingSpec]) -> Tensors:
    return tuple(preprocess(image, spec) for spec in specs)


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
