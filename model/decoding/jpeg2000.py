"""JPEG 2000 and HTJ2K frames to pixels, whole or at a lower resolution that their wavelets hold ready.

Source: ITU-T T.800 annex A. Between ``source`` and ``codecs``.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, Final

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Jpeg2KImagePlugin

from model.decoding.codec_errors import codec_wall
from model.decoding.source import corrupt
from model.errors import CorruptImage

_CODESTREAM_START: Final = b"\xff\x4f\xff\x51"
# A JP2 wrapper puts its boxes before the codestream; DICOM wants the bare one (PS3.5 A.4.4), files exist with both.
_JP2_WRAPPER_BYTES: Final = 4096
_START_OF_TILE_PART, _END_OF_CODESTREAM = b"\xff\x90", b"\xff\xd9"
_SHORTEST_TILE_PART: Final = 14
_MAXIMUM_SEGMENTS: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Codestream:
    """Where a codestream begins in its frame, and what its SIZ segment says (T.800 A.5.1)."""

    start: int
    rows: int
    columns: int
    components: int
    precision: int
    is_signed: bool


def read_codestream(frame: bytes) -> Codestream:
    """Read the SIZ segment.

    Raises
    ------
    CorruptImage
        If there is none.
    """
    start = frame.find(_CODESTREAM_START, 0, _JP2_WRAPPER_BYTES)
    if start < 0 or len(frame) < start + 43:
        raise corrupt("no JPEG 2000 codestream")
    right, bottom, left, top = struct.unpack_from(">4L", frame, start + 8)
    components, depth = struct.unpack_from(">HB", frame, start + 40)
    return Codestream(
        start=start,
        rows=bottom - top,
        columns=right - left,
        components=components,
        precision=(depth & 0x7F) + 1,
        is_signed=depth > 0x7F,
    )


def decode_jpeg2000(frame: bytes, codestream: Codestream, *, reduction: int = 1) -> NDArray[Any]:
    """Decode a gray frame; at a lower resolution only where that is safe, see ``_decode_reduced``.

    Returns
    -------
    ndarray
        ``(rows, columns)`` or both divided by ``reduction``, rounded up; integers as the codestream says.

    Raises
    ------
    CorruptImage
        If the frame is damaged or incomplete.
    """
    if reduction > 1:
        reduced = _decode_reduced(frame, codestream, reduction)
        if reduced is not None:
            return reduced
    # HTJ2K too goes through OpenJPEG: imagecodecs' wrapper of OpenJPH, twice as fast, swallows the decoder's errors
    # and returns whatever memory it found (seen with imagecodecs 2026.3.6 on damaged frames).
    with codec_wall():
        return np.asarray(imagecodecs.jpeg2k_decode(frame))


def _decode_reduced(frame: bytes, codestream: Codestream, reduction: int) -> NDArray[Any] | None:
    """Leave out the finest wavelets; ``None`` where that cannot be done or would leave doubt.

    What is left out is not read, so that a decoder cannot miss it: every tile part must therefore be as long as it
    says. OpenJPEG through Pillow, because imagecodecs does not hand its option on. Pillow shifts values of fewer bits
    than its pixels have to their top (12 of 16: times 16), and rounds sizes to the nearest where T.800 rounds up.
    """
    if codestream.components != 1 or codestream.is_signed or not _tile_parts_are_whole(frame, codestream.start):
        return None
    try:
        with codec_wall():
            picture = Jpeg2KImagePlugin.Jpeg2KImageFile(io.BytesIO(frame[codestream.start :]))
            picture.reduce = reduction.bit_length() - 1
            pixels = np.array(picture)
    except CorruptImage:
        return None  # fewer levels of wavelets than asked for, or damage: the exact decoder knows
    if pixels.shape != (-(-codestream.rows // reduction), -(-codestream.columns // reduction)):
        return None
    levels: NDArray[Any] = np.right_shift(pixels, pixels.dtype.itemsize * 8 - codestream.precision)
    return _centred(levels, reduction)


def _centred(levels: NDArray[Any], reduction: int) -> NDArray[Any]:
    """Move samples from the first pixel of the blocks that they stand for to the middle of these.

    A wavelet's low pass stands on every second pixel (T.800 F.3), a mean of blocks between two. Interpolated, the
    film differs ten times less from the means of its full-size pixels.
    """
    share = (reduction - 1) / (2 * reduction)
    weights = np.array([1 - share, share], dtype=np.float32)
    moved = cv2.sepFilter2D(levels, -1, weights, weights, anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(moved)


def _tile_parts_are_whole(frame: bytes, start: int) -> bool:
    """Whether tile parts of the lengths that they state (T.800 A.4.2) fill the codestream up to its end marker."""
    position = start + 2
    for _ in range(_MAXIMUM_SEGMENTS):
        marker, length = frame[position : position + 2], int.from_bytes(frame[position + 2 : position + 4], "big")
        if marker == _END_OF_CODESTREAM:
            return True
        if marker == _START_OF_TILE_PART:
            # 0 means "up to the end", wherever that is.
            length = int.from_bytes(frame[position + 6 : position + 10], "big")
            if length < _SHORTEST_TILE_PART:
                return False
            position += length
        else:
            position += 2 + length
    return False
