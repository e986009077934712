"""Size and depth of PNG and JPEG files, from their headers alone.

Source: PNG specification (third edition) 11.2.2; ``jpeg_segments`` for JPEG. Must not know what a film looks like.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO, Final

from model.decoding.header import Header, ImageFormat
from model.decoding.jpeg_segments import read_frame_header
from model.decoding.source import corrupt, read_exactly

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE: Final = b"\xff\xd8\xff"

# Colour type -> (samples, legal bit depths), PNG table 11.1. A palette index is one sample.
_PNG_COLOURS: Final = {
    0: (1, frozenset({1, 2, 4, 8, 16})),
    2: (3, frozenset({8, 16})),
    3: (1, frozenset({1, 2, 4, 8})),
    4: (2, frozenset({8, 16})),
    6: (4, frozenset({8, 16})),
}
_PNG_MAXIMUM_SIDE = 2**31 - 1


def inspect_png(stream: BinaryIO) -> Header:
    """Read the IHDR chunk.

    Raises
    ------
    CorruptImage
        If it is missing, fails its CRC or states an illegal size, depth, colour type or method.
    """
    head = read_exactly(stream, 33, "the IHDR chunk")[8:]
    body, stated_crc = head[:21], head[21:]
    if body[:8] != b"\0\0\0\rIHDR" or zlib.crc32(body[4:]) != int.from_bytes(stated_crc, "big"):
        raise corrupt("the IHDR chunk is missing or damaged")
    columns, rows, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", body[8:])
    samples, depths = _PNG_COLOURS.get(colour, (0, frozenset()))
    if depth not in depths or compression or filtering or interlace > 1:
        raise corrupt("the IHDR chunk states an illegal format")
    if not (0 < rows <= _PNG_MAXIMUM_SIDE and 0 < columns <= _PNG_MAXIMUM_SIDE):
        raise corrupt("the IHDR chunk states an illegal size")
    return Header(
        image_format=ImageFormat.PNG, rows=rows, columns=columns, bits_stored=depth, samples_per_pixel=samples
    )


def inspect_jpeg(stream: BinaryIO) -> Header:
    """Walk the segments to the frame header (SOFn).

    Raises
    ------
    CorruptImage
        If the segments are malformed, end or reach a scan before a frame header, or the frame has no size (DNL).
    """
    frame = read_frame_header(stream)
    return Header(
        image_format=ImageFormat.JPEG,
        rows=frame.rows,
        columns=frame.columns,
        bits_stored=frame.precision,
        samples_per_pixel=frame.components,
    )
