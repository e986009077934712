"""Large ``.npy`` arrays that are filled row by row, on a disk that may be full.

Knows numpy's file format; neither films nor features.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from training.errors import RunError


def reserve(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array in the file ``path`` whose every byte the disk has promised.

    Found only while writing to a sparse map, a full disk would end the process by a signal, hours later.

    Raises
    ------
    RunError
        If the disk has no room for it, or the file cannot be written.
    """
    needed_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        cache: NDArray[Any] = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise RunError(
            f"cannot reserve {needed_bytes / 2**20:,.0f} MiB for {path} ({error.strerror}); it holds {shape[0]} films "
            f"of {' x '.join(map(str, shape[1:]))}"
        ) from error
    return cache


def flush(cache: NDArray[Any]) -> None:
    """Write what was put into an array of ``reserve`` to its file."""
    assert isinstance(cache, np.memmap)
    cache.flush()


def shorten(path: Path, rows: int) -> None:
    """Keep the first ``rows`` rows of a flushed array alone, in place: a copy may not fit beside 50 GB of tensors.

    numpy pads the header of every array so that the number of rows can change without moving what follows.
    """
    with path.open("r+b") as file:
        np.lib.format.read_magic(file)
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
        file.seek(0)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": is_fortran}
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (rows, *shape[1:])})
        if file.tell() != start:
            raise RunError(f"{path} cannot be shortened in place: its header has another length")
        file.truncate(start + rows * math.prod(shape[1:]) * dtype.itemsize)
