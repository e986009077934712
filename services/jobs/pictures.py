"""A picture's form in the spool: an array, and a checksum that binds it to what it is a picture of.

Written by the worker, read by the gateway. Nothing is synced, because a picture can be done without: after a power cut
a file may hold zeros, and zeros would be a heat map without heat. So what does not add up is ``PictureGone``, never
shown. The checksum starts from the payload's digest, for a heat map together with the model's: a map of another film is
never drawn over this one, nor one of another model beside this one's probability.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.jobs.errors import PictureGone

_CHECKSUM: Final = struct.Struct(">I")


def film_and_model(*, film: str, model: str) -> str:
    """Return what a heat map is a picture of: a film's sha256 together with the digest of a model."""
    return f"{film}:{model}"


def pack_picture(array: NDArray[Any], *, of: str) -> bytes:
    """Return an array as bytes that ``unpack_picture`` takes back where it is asked for the same ``of``."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, np.lib.format.header_data_from_array_1_0(array))
    content = b"".join((buffer.getvalue(), np.ascontiguousarray(array).data))  # np.save copies it thrice
    return _CHECKSUM.pack(_checksum(content, of)) + content


def unpack_picture(content: bytes, *, of: str) -> NDArray[Any]:
    """Return the array; raise ``PictureGone`` where the bytes are damaged or a picture of something else."""
    if len(content) < _CHECKSUM.size:
        raise PictureGone("a kept picture is cut off")
    array_bytes = content[_CHECKSUM.size :]
    if _CHECKSUM.unpack_from(content)[0] != _checksum(array_bytes, of):
        raise PictureGone("a kept picture is damaged, or is not of this film and model")
    loaded: NDArray[Any] = np.load(io.BytesIO(array_bytes), allow_pickle=False)
    return loaded


def _checksum(content: bytes, of: str) -> int:
    return zlib.crc32(content, zlib.crc32(of.encode()))
