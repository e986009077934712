"""Films that lie in one ``.npz`` of arrays, as MedMNIST publishes them, read forwards one film at a time.

``ChestMNIST`` at 224 px is 5.6 GB of pixels: as an array it fits into few machines, as a stream into all. Knows arrays;
neither labels nor networks. Source of the format: Yang et al., Scientific Data 10, 41 (2023), https://medmnist.com.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from training.errors import DatasetError

# Frames are counted through the three arrays in this order.
IMAGE_ARRAYS = ("train_images", "val_images", "test_images")


def array_lengths(path: Path) -> tuple[int, ...]:
    """Return how many films each of ``IMAGE_ARRAYS`` holds; reads headers, no pixels.

    Raises
    ------
    DatasetError
        If an array is absent, or is not ``(n, rows, columns)`` uint8: colour pictures are no radiographs.
    """
    with _translated(path), zipfile.ZipFile(path) as archive:
        return tuple(_open_array(archive, path, name)[1][0] for name in IMAGE_ARRAYS)


def array_checksums(path: Path) -> bytes:
    """Return name, size and CRC-32 of every array, as the archive's directory states them: 5 GB told apart in no time.

    Raises
    ------
    DatasetError
        If ``path`` is no archive.
    """
    with _translated(path), zipfile.ZipFile(path) as archive:
        return "".join(f"{info.filename} {info.file_size} {info.CRC:08x}\n" for info in archive.infolist()).encode()


def read_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield every film ``(rows, columns)`` uint8, in the order of ``IMAGE_ARRAYS``.

    Raises
    ------
    DatasetError
        As ``array_lengths``, and if the archive ends before its last film.
    """
    with _translated(path), zipfile.ZipFile(path) as archive:
        for name in IMAGE_ARRAYS:
            stream, (count, rows, columns) = _open_array(archive, path, name)
            with stream:
                for _ in range(count):
                    content = stream.read(rows * columns)
                    yield np.frombuffer(content, dtype=np.uint8).reshape(rows, columns)


class FrameReader:
    """Hands out films of one archive by number: fast forwards, from the start again after a step backwards."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames = read_frames(path)
        self._next = 0

    def pixels(self, frame: int) -> NDArray[np.uint8]:
        """Return film ``frame``, ``(rows, columns)`` uint8.

        Raises
        ------
        DatasetError
            As ``read_frames``, and if there are fewer films.
        """
        if frame < self._next:
            self._frames, self._next = read_frames(self._path), 0
        for pixels in self._frames:
            self._next += 1
            if self._next > frame:
                return pixels
        raise DatasetError(f"{self._path} has no film {frame}: it holds {self._next}")


def _open_array(archive: zipfile.ZipFile, path: Path, name: str) -> tuple[IO[bytes], tuple[int, int, int]]:
    try:
        stream = archive.open(f"{name}.npy")
    except KeyError as error:
        raise DatasetError(f"{path} lacks the array {name}") from error
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(stream)
    if dtype != np.uint8 or len(shape) != 3 or is_fortran:
        raise DatasetError(f"{path}: {name} is {dtype} of shape {shape}; gray films are uint8 (n, rows, columns)")
    return stream, (shape[0], shape[1], shape[2])


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{path} cannot be read as an .npz archive of films: {error}") from error
