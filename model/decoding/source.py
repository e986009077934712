"""Gives every reader of this package the same view of a film: a seekable stream with a known size.

Lowest room of ``model.decoding``; knows no format.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from model.errors import CorruptImage, Reason


@contextmanager
def open_source(source: Path | bytes) -> Iterator[tuple[BinaryIO, int]]:
    """Yield ``(stream, size in bytes)``; bytes are wrapped, not copied.

    Raises
    ------
    OSError
        If the file cannot be opened: the spool's fault, not the film's, and therefore no ``ImageError``.
    """
    if isinstance(source, bytes):
        yield io.BytesIO(source), len(source)
        return
    with source.open("rb") as stream:
        yield stream, os.fstat(stream.fileno()).st_size


def corrupt(detail: str) -> CorruptImage:
    """Return the error of a known format that cannot be read. ``detail`` never quotes what the file says."""
    return CorruptImage(Reason.DECODE_ERROR, detail)


def read_exactly(stream: BinaryIO, length: int, what: str) -> bytes:
    """Read ``length`` bytes; a shorter rest is a truncated file.

    Raises
    ------
    CorruptImage
        If the stream ends before.
    """
    content = stream.read(length)
    if len(content) != length:
        raise corrupt(f"the file ends within {what}")
    return content
