"""One compressed frame to one array, by imagecodecs. The only place where a foreign decoder is called.

Before a decoder runs, the frame's own header must agree with the size that was announced, so that no frame can ask for
more memory than the gate allowed. Afterwards the frame must be whole: some decoders paint what is missing gray.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from model.decoding.jpeg_segments import read_frame_header, scans_are_complete, with_surplus
from model.decoding.source import corrupt
from model.decoding.transfer_syntaxes import HTJ2K, JPEG, JPEG_2000, JPEG_LS, RLE
from model.errors import ImageError

_CODESTREAM_START: Final = b"\xff\x4f\xff\x51"
# A JP2 wrapper puts its boxes before the codestream; DICOM wants the bare one (PS3.5 A.4.4), files exist with both.
_JP2_WRAPPER_BYTES = 4096
_DECODERS: Final = ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode", "packbits_decode", "png_decode")


def load_codecs() -> None:
    """Load every decoder now; imagecodecs otherwise reads each from disk on its first film.

    For processes that may not open files later.
    """
    for name in _DECODERS:
        getattr(imagecodecs, name)


@contextmanager
def codec_wall() -> Iterator[None]:
    """Turn whatever a codec raises on damaged bytes into ``CorruptImage``; memory errors pass."""
    try:
        yield
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # each codec has an error class of its own, and some raise ValueError or TypeError
        raise corrupt(f"the codec failed: {type(error).__name__}") from error


def decode_frame(frame: bytes, transfer_syntax: str, rows: int, columns: int, bytes_per_sample: int) -> NDArray[Any]:
    """Decode one gray frame of a compressed transfer syntax.

    Returns
    -------
    ndarray
        ``(rows, columns)``, 8- or 16-bit integers as the codestream says.

    Raises
    ------
    CorruptImage
        If the frame is damaged, incomplete, in colour or of another size than ``rows`` and ``columns``.
    """
    if transfer_syntax == RLE:
        pixels = _decode_rle(frame, rows, columns, bytes_per_sample)
    elif transfer_syntax in JPEG:
        _require_size(_jpeg_size(frame), rows, columns)
        pixels = decode_jpeg(frame)
    elif transfer_syntax in JPEG_LS:
        _require_size(_jpeg_size(frame), rows, columns)
        # CharLS notices by itself, but only after seconds of looking for the bits that are missing.
        if not scans_are_complete(frame):
            raise corrupt("the JPEG-LS ends before its end marker")
        with codec_wall():
            pixels = imagecodecs.jpegls_decode(frame)
    elif transfer_syntax in JPEG_2000 | HTJ2K:
        _require_size(_jpeg2000_size(frame), rows, columns)
        # HTJ2K too goes through OpenJPEG: imagecodecs' wrapper of OpenJPH, twice as fast, swallows the decoder's errors
        # and returns whatever memory it found (seen with imagecodecs 2026.3.6 on damaged frames).
        with codec_wall():
            pixels = imagecodecs.jpeg2k_decode(frame)
    else:
        raise corrupt("no codec for this transfer syntax")
    if pixels.shape != (rows, columns) or pixels.dtype.kind not in "ui" or pixels.dtype.itemsize > 2:
        raise corrupt("the frame is not what the header announced")
    return pixels


def decode_jpeg(frame: bytes) -> NDArray[Any]:
    """Decode a whole JPEG of process 1, 2, 4 or 14; ``(rows, columns)`` or ``(rows, columns, samples)``.

    libjpeg paints what is missing gray and only warns, which imagecodecs does not pass on. Therefore the frame is
    decoded a second time with surplus bytes, which stay without effect where nothing is missing. That costs what the
    first time did (3 ms per megapixel of baseline, 10 of lossless).

    Raises
    ------
    CorruptImage
        If the frame is damaged or incomplete.
    """
    surplus = with_surplus(frame)
    with codec_wall():
        pixels = np.asarray(imagecodecs.jpeg8_decode(frame))
        repeated = imagecodecs.jpeg8_decode(surplus)
    if not np.array_equal(pixels, repeated):
        raise corrupt("the JPEG's entropy-coded data is incomplete")
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
    planes = np.empty((rows * columns, bytes_per_sample), dtype=np.uint8)
    for index, (start, end) in enumerate(pairwise(bounds)):
        plane = _unpack_bits(frame[start:end])
        if plane.size != rows * columns:
            raise corrupt("an RLE segment holds another number of pixels")
        planes[:, bytes_per_sample - 1 - index] = plane
    return planes.view(f"<u{bytes_per_sample}").reshape(rows, columns)


def _unpack_bits(segment: bytes) -> NDArray[np.uint8]:
    """Decode one segment; a segment of odd length has a byte of padding, which some writers do not set to zero."""
    with codec_wall():
        try:
            return np.frombuffer(imagecodecs.packbits_decode(segment), np.uint8)
        except imagecodecs.PackbitsError:
            return np.frombuffer(imagecodecs.packbits_decode(segment[:-1]), np.uint8)


def _require_size(found: tuple[int, int, int], rows: int, columns: int) -> None:
    if found != (rows, columns, 1):
        raise corrupt("the frame states another size or number of components than the header")


def _jpeg_size(frame: bytes) -> tuple[int, int, int]:
    header = read_frame_header(io.BytesIO(frame))
    return header.rows, header.columns, header.components


def _jpeg2000_size(frame: bytes) -> tuple[int, int, int]:
    """Rows, columns and components from the SIZ segment (ITU-T T.800 A.5.1)."""
    start = frame.find(_CODESTREAM_START, 0, _JP2_WRAPPER_BYTES)
    if start < 0 or len(frame) < start + 42:
        raise corrupt("no JPEG 2000 codestream")
    right, bottom, left, top = struct.unpack_from(">4L", frame, start + 8)
    (components,) = struct.unpack_from(">H", frame, start + 40)
    return bottom - top, right - left, components
