"""One compressed frame to one array. Knows which decoder a transfer syntax needs, and what each is not trusted with.

Before a decoder runs, the frame's own header must agree with the size that was announced, so that no frame can ask for
more memory than the gate allowed. Afterwards the frame must be whole: some decoders paint what is missing gray.
"""

from __future__ import annotations

import io
import struct
from itertools import pairwise
from typing import Any, Final

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from model.decoding.codec_errors import codec_wall
from model.decoding.jpeg import decode_jpeg, paints_missing_rows_gray
from model.decoding.jpeg2000 import decode_jpeg2000, read_codestream
from model.decoding.jpeg_segments import read_frame_header, scans_are_complete
from model.decoding.source import corrupt
from model.decoding.transfer_syntaxes import HTJ2K, JPEG, JPEG_2000, JPEG_LS, RLE

_DECODERS: Final = ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode", "packbits_decode", "png_decode")


def load_codecs() -> None:
    """Load every decoder now; imagecodecs otherwise reads each from disk on its first film.

    For processes that may not open files later.
    """
    for name in _DECODERS:
        getattr(imagecodecs, name)
    paints_missing_rows_gray()


def decode_frame(
    frame: bytes, transfer_syntax: str, rows: int, columns: int, bytes_per_sample: int, *, reduction: int = 1
) -> NDArray[Any]:
    """Decode one gray frame of a compressed transfer syntax.

    Parameters
    ----------
    reduction
        1, 2, 4 or 8: how much smaller each side may come back. JPEG of 8 bits and JPEG 2000 can.

    Returns
    -------
    ndarray
        ``(rows, columns)``, or both divided by ``reduction`` and rounded up; 8- or 16-bit integers as the codestream
        says, in memory of their own.

    Raises
    ------
    CorruptImage
        If the frame is damaged, incomplete, in colour or of another size than ``rows`` and ``columns``.
    """
    if transfer_syntax == RLE:
        pixels = _decode_rle(frame, rows, columns, bytes_per_sample)
    elif transfer_syntax in JPEG:
        _require_size(_jpeg_size(frame), rows, columns)
        pixels = decode_jpeg(frame, reduction=reduction)
    elif transfer_syntax in JPEG_LS:
        _require_size(_jpeg_size(frame), rows, columns)
        # CharLS notices by itself, but only after seconds of looking for the bits that are missing.
        if not scans_are_complete(frame):
            raise corrupt("the JPEG-LS ends before its end marker")
        with codec_wall():
            pixels = imagecodecs.jpegls_decode(frame)
    elif transfer_syntax in JPEG_2000 | HTJ2K:
        codestream = read_codestream(frame)
        _require_size((codestream.rows, codestream.columns, codestream.components), rows, columns)
        pixels = decode_jpeg2000(frame, codestream, reduction=reduction)
    else:
        raise corrupt("no codec for this transfer syntax")
    reduced = -(-rows // reduction), -(-columns // reduction)
    if pixels.shape not in ((rows, columns), reduced) or pixels.dtype.kind not in "ui" or pixels.dtype.itemsize > 2:
        raise corrupt("the frame is not what the header announced")
    return pixels


def _decode_rle(frame: bytes, rows: int, columns: int, bytes_per_sample: int) -> NDArray[Any]:
    """PS3.5 annex G: one segment for each byte of a sample, the most significant first.

    The header is read here because imagecodecs' own reader of it follows wild offsets out of its buffer.
    """
    if len(frame) < 64:
        raise corrupt("the RLE header is incomplete")
    count, *offsets = struct.unpack_from("<16L", frame)
    bounds = [*offsets[:bytes_per_sample], len(frame)]
    if count != bytes_per_sample or bounds[0] != 64 or any(low >= high for low, high in pairwise(bounds)):
        raise corrupt("the RLE header does not describe one gray sample")
    planes = [_unpack_bits(frame[start:end], rows * columns) for start, end in pairwise(bounds)]
    if any(plane.size != rows * columns for plane in planes):
        raise corrupt("an RLE segment holds another number of pixels")
    # OpenCV interleaves ten times faster than assignments with a stride.
    joined = cv2.merge([plane.reshape(rows, columns) for plane in reversed(planes)])
    return joined.view(f"<u{bytes_per_sample}").reshape(rows, columns)


def _unpack_bits(segment: bytes, most_bytes: int) -> NDArray[np.uint8]:
    """Decode one segment, to no more than ``most_bytes``: without a limit, 64 times its own length is allocated.

    A segment of odd length has a byte of padding, which some writers do not set to zero.
    """
    with codec_wall():
        try:
            return np.frombuffer(imagecodecs.packbits_decode(segment, out=most_bytes), np.uint8)
        except imagecodecs.PackbitsError:
            return np.frombuffer(imagecodecs.packbits_decode(segment[:-1], out=most_bytes), np.uint8)


def _require_size(found: tuple[int, int, int], rows: int, columns: int) -> None:
    if found != (rows, columns, 1):
        raise corrupt("the frame states another size or number of components than the header")


def _jpeg_size(frame: bytes) -> tuple[int, int, int]:
    header = read_frame_header(io.BytesIO(frame))
    return header.rows, header.columns, header.components
