"""PNG films to pixels.

A plain gray one, as nearly all films are, is inflated by libdeflate and unfiltered by a loop of ours: less than libpng
costs with zlib. Whatever else the format allows goes to libpng. Between ``raster_header`` and ``raster``.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from model.decoding.codec_errors import codec_wall
from model.decoding.header import Header
from model.decoding.raster_header import PNG_SIGNATURE
from model.decoding.source import corrupt
from model.errors import CorruptImage

# Encoders write chunks of 8 KiB and more; small films need some bytes besides their pixels.
_MOST_CHUNKS: Final = 65_536
_SPARE_DATA_BYTES: Final = 4096
# The filter type, and an empty block where an encoder flushes after every row; interlacing has almost twice the rows.
_SPARE_ROW_BYTES: Final = 16
_DATA, _END, _TRANSPARENCY, _HEADER = b"IDAT", b"IEND", b"tRNS", b"IHDR"
# Empty, with its checksum (PNG 11.2.5): one that states a length is damage.
_END_CHUNK: Final = b"\0\0\0\0IEND\xaeB`\x82"
# A chunk whose name begins with a small letter may be ignored (PNG 5.4), and libpng ignores those that are damaged.
_ANCILLARY_BIT: Final = 0x20
_DECODERS: Final = ("deflate_crc32", "deflate_decode", "png_decode")
_COLOUR_TYPE_AT, _INTERLACE_AT = 25, 28
_GRAY: Final = 0


@dataclass(frozen=True, kw_only=True)
class _Chunks:
    """The image data of a PNG in its pieces, and whether nothing but these and the header say how it looks."""

    data: tuple[bytes, ...]
    is_plain: bool


def decode_png(content: bytes, header: Header) -> NDArray[Any]:
    """Decode a whole PNG.

    Returns
    -------
    ndarray
        ``(rows, columns)`` or ``(rows, columns, 2..4)`` uint8 or uint16; fewer than 8 bits are spread over 8.

    Raises
    ------
    CorruptImage
        If the file is damaged or truncated, or holds more image data than its pixels could need.
    """
    chunks = _read_chunks(content)
    _require_plausible(sum(len(piece) for piece in chunks.data), header)
    is_gray = content[_COLOUR_TYPE_AT] == _GRAY and not content[_INTERLACE_AT]
    pixels = None
    if is_gray and chunks.is_plain and header.bits_stored in (8, 16):
        pixels = _decode_gray(chunks.data, header)
    if pixels is None:
        with codec_wall():
            pixels = np.asarray(imagecodecs.png_decode(content))
    return pixels


def load_png() -> None:
    """Load both decoders now, for processes that may not open files later."""
    from model.decoding import png_rows

    nothing = np.zeros((1, 2), np.uint8)
    nothing.setflags(write=False)
    assert png_rows.undo_filters(nothing, np.zeros((1, 1), np.uint8), 1)
    for name in _DECODERS:
        getattr(imagecodecs, name)


def _read_chunks(content: bytes) -> _Chunks:
    """Walk the chunks (PNG 5.3) up to the end chunk, which must come; what follows it is not the picture's."""
    data: list[bytes] = []
    is_plain, was_data, position = True, False, len(PNG_SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        if position + 12 > len(content):
            raise corrupt("the PNG ends before its end chunk")
        length, name = struct.unpack_from(">I4s", content, position)
        if name == _END:
            if content[position : position + len(_END_CHUNK)] != _END_CHUNK:
                raise corrupt("the PNG's end chunk is damaged")
            return _Chunks(data=tuple(data), is_plain=is_plain)
        if name == _DATA:
            # The data's pieces stand together, or are no longer the picture's (PNG 5.6).
            is_plain = is_plain and (was_data or not data) and _is_intact(content, position, length)
            data.append(content[position + 8 : position + 8 + length])
        elif name != _HEADER or position != len(PNG_SIGNATURE):
            is_plain = is_plain and name != _TRANSPARENCY and bool(name[0] & _ANCILLARY_BIT)
        was_data = name == _DATA
        position += length + 12
    raise corrupt("the PNG consists of too many chunks")


def _is_intact(content: bytes, position: int, length: int) -> bool:
    """Whether the chunk's checksum is right (PNG 5.5); libpng says how bad that is."""
    end = position + 8 + length
    stated = content[end : end + 4]
    return len(stated) == 4 and imagecodecs.deflate_crc32(content[position + 4 : end]) == int.from_bytes(stated, "big")


def _require_plausible(data_bytes: int, header: Header) -> None:
    """Refuse a PNG with more image data than its pixels could need: libpng would inflate it to its end.

    Deflate never makes data much longer (RFC 1951 3.2.4: five bytes a stored block); a quarter more is plenty.
    """
    pixel_bytes = (header.samples_per_pixel or 4) * (2 if (header.bits_stored or 16) > 8 else 1)
    plain_bytes = (header.rows or 0) * ((header.columns or 0) * pixel_bytes + _SPARE_ROW_BYTES)
    if data_bytes > plain_bytes * 5 // 4 + _SPARE_DATA_BYTES:
        raise corrupt("the PNG holds more image data than its pixels need")


def _decode_gray(data: tuple[bytes, ...], header: Header) -> NDArray[Any] | None:
    """Inflate to exactly as many bytes as the pixels need, checksum included, and undo the rows' filters.

    ``None`` where anything is amiss: libpng, which tolerates some of it, has the last word.
    """
    from model.decoding.png_rows import undo_filters

    rows, sample_bytes = header.rows or 0, (header.bits_stored or 0) // 8
    row_bytes = (header.columns or 0) * sample_bytes
    filtered_shape = rows, 1 + row_bytes
    try:
        with codec_wall():
            inflated = imagecodecs.deflate_decode(b"".join(data), out=math.prod(filtered_shape))
    except CorruptImage:
        return None
    pixels = np.empty((rows, row_bytes), np.uint8)
    filtered = np.frombuffer(inflated, np.uint8)
    if filtered.size != math.prod(filtered_shape):
        return None
    if not undo_filters(filtered.reshape(filtered_shape), pixels, sample_bytes):
        return None
    return pixels if sample_bytes == 1 else pixels.view(np.uint16).byteswap(inplace=True)
