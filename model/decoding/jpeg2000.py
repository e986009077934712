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
_CODING_STYLE: Final = b"\xff\x52"
# Of the COD segment's bytes, from its marker on: which wavelet (T.800 table A.20), 0 where it is the 9-7 one.
_WAVELET_AT, _WAVELET_9_7 = 13, b"\0"
# Keys' cubic (a = -1/2), the interpolation of OpenCV and Pillow too.
_CUBIC: Final = -0.5


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
    layout = _read_layout(frame, codestream.start)
    if reduction > 1 and layout.states_lengths:
        reduced = _decode_reduced(frame, codestream, reduction, is_9_7=layout.is_9_7)
        if reduced is not None:
            return reduced
    # HTJ2K too goes through OpenJPEG: imagecodecs' wrapper of OpenJPH, twice as fast, swallows the decoder's errors
    # and returns whatever memory it found (seen with imagecodecs 2026.3.6 on damaged frames).
    with codec_wall():
        return np.asarray(imagecodecs.jpeg2k_decode(frame))


def _decode_reduced(frame: bytes, codestream: Codestream, reduction: int, *, is_9_7: bool) -> NDArray[Any] | None:
    """Leave out the finest wavelets; ``None`` where that cannot be done or would leave doubt.

    What is left out is not read, so that a decoder cannot miss it: every tile part must therefore have said how long
    it is. OpenJPEG through Pillow, because imagecodecs does not hand its option on. Pillow shifts values of fewer bits
    than its pixels have to their top (12 of 16: times 16), and rounds sizes to the nearest where T.800 rounds up.
    """
    if codestream.components != 1 or codestream.is_signed:
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
    unused_bits = pixels.dtype.itemsize * 8 - codestream.precision
    if unused_bits < 0:
        return None
    levels: NDArray[Any] = np.right_shift(pixels, unused_bits)
    return _centred(levels, reduction, is_9_7=is_9_7)


def _centred(levels: NDArray[Any], reduction: int, *, is_9_7: bool) -> NDArray[Any]:
    """Move samples from the first pixel of the blocks that they stand for to the middle of these.

    A wavelet's low pass stands on every second pixel (T.800 F.3), a mean of blocks between two. Interpolated, the
    film differs ten times less from the means of its full-size pixels. The low pass of the 5-3 wavelet raises fine
    detail by as much as linear interpolation takes from it; that of the 9-7 one raises nothing and needs a cubic one:
    films interpolated linearly come out smoother than they are, and score lower. At edges a cubic overshoots, as
    lossy codecs do: ``dicom_pixels`` keeps what they return within its bits.
    """
    share = (reduction - 1) / (2 * reduction)
    taps = _cubic_weights(share) if is_9_7 else (0.0, 1 - share, share, 0.0)
    weights = np.array(taps, dtype=np.float32)
    moved = cv2.sepFilter2D(levels, -1, weights, weights, anchor=(1, 1), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(moved)


def _cubic_weights(share: float) -> tuple[float, float, float, float]:
    """Return what four neighbours count for at ``share`` of the way from the second to the third (Keys, 1981)."""
    a, t = _CUBIC, share
    return (
        a * (t**3 - 2 * t**2 + t),
        (a + 2) * t**3 - (a + 3) * t**2 + 1,
        -(a + 2) * t**3 + (2 * a + 3) * t**2 - a * t,
        a * (t**2 - t**3),
    )


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Whether every tile part states its length, and which wavelet the codestream speaks of."""

    states_lengths: bool
    is_9_7: bool


def _read_layout(frame: bytes, start: int) -> _Layout:
    """Walk the main header and the tile parts (T.800 A.4.2), which must fill it.

    OpenJPEG does not ask for the end marker: zeros in place of what is missing are empty packets to it.

    Raises
    ------
    CorruptImage
        If no end marker stands where the last tile part ends.
    """
    position, is_9_7 = start + 2, False
    for _ in range(_MAXIMUM_SEGMENTS):
        marker, length = frame[position : position + 2], int.from_bytes(frame[position + 2 : position + 4], "big")
        if marker == _END_OF_CODESTREAM:
            return _Layout(states_lengths=True, is_9_7=is_9_7)
        if marker == _START_OF_TILE_PART:
            length = int.from_bytes(frame[position + 6 : position + 10], "big")
            if length == 0 and frame.find(_END_OF_CODESTREAM, position) >= 0:
                return _Layout(states_lengths=False, is_9_7=is_9_7)
            if length < _SHORTEST_TILE_PART:
                break
            position += length
            continue
        if marker[:1] != b"\xff":
            break
        if marker == _CODING_STYLE:
            is_9_7 = frame[position + _WAVELET_AT : position + _WAVELET_AT + 1] == _WAVELET_9_7
        position += 2 + length
    raise corrupt("the tile parts of the codestream do not fill it")
