"""The orientation that a JPEG's EXIF segment states, and how to undo it. Reads nothing else of EXIF."""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_MARKERS_BEFORE_PIXELS = 64
_ORIENTATION_TAG, _SHORT = 0x0112, 3
_EXIF: Final = b"Exif\0\0"


def read_orientation(content: bytes) -> int:
    """Return 1 (upright) to 8 as TIFF 6.0 defines them; 1 where the file says nothing or nonsense."""
    position = 2
    for _ in range(_MARKERS_BEFORE_PIXELS):
        head = content[position : position + 4]
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xDA, 0xD9):
            return 1
        length = int.from_bytes(head[2:], "big")
        segment = content[position + 4 : position + 2 + length]
        if head[1] == 0xE1 and segment.startswith(_EXIF):
            return _orientation_of_tiff(segment[len(_EXIF) :])
        position += 2 + length
    return 1


def _orientation_of_tiff(tiff: bytes) -> int:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(f"{order}L", tiff, 4)
    if len(tiff) < start + 2:
        return 1
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for offset in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHLH", tiff, offset)
        if tag == _ORIENTATION_TAG and kind == _SHORT:
            return value if 1 <= value <= 8 else 1
    return 1


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror ``(rows, columns)`` so that row 0 is the picture's top and column 0 its left."""
    if orientation >= 5:
        pixels = pixels.T  # 5 to 8: stored rows are the picture's columns
    flip_rows, flip_columns = {
        1: (False, False), 2: (False, True), 3: (True, True), 4: (True, False),
        5: (False, False), 6: (False, True), 7: (True, True), 8: (True, False),
    }[orientation]  # fmt: skip
    pixels = pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return np.ascontiguousarray(pixels)
