"""Walks the segments of a JPEG or JPEG-LS stream: its frame header, its scans, and where they end.

Source: ITU-T T.81 annex B, T.87 annex C. Used for files and for DICOM frames; decodes nothing.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

from model.decoding.source import corrupt, read_exactly

# T.81 table B.1: SOF0..SOF15 without DHT (C4), JPG (C8) and DAC (CC); F7 is SOF55 of JPEG-LS.
START_OF_FRAME: Final = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
MAXIMUM_SEGMENTS = 10_000
# In entropy-coded data JPEG stuffs a zero byte behind FF, JPEG-LS a zero bit: what follows FF in a marker has its
# highest bit set in both. Restart markers belong to the scan.
_MARKER_IN_SCAN = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")


@dataclass(frozen=True, kw_only=True)
class FrameHeader:
    """SOFn: size in pixels, bits of a sample, number of components."""

    precision: int
    rows: int
    columns: int
    components: int


def read_frame_header(stream: BinaryIO) -> FrameHeader:
    """Walk from the start of ``stream`` to the frame header.

    Raises
    ------
    CorruptImage
        If the segments are malformed, end or reach a scan before a frame header, or the frame has no size (DNL).
    """
    stream.seek(0)
    if read_exactly(stream, 2, "the JPEG") != b"\xff\xd8":
        raise corrupt("no JPEG begins here")
    for _ in range(MAXIMUM_SEGMENTS):
        marker = _next_marker(stream)
        if marker in STANDALONE:
            continue
        if marker in (END_OF_IMAGE, START_OF_SCAN):
            break
        length = int.from_bytes(read_exactly(stream, 2, "a segment"), "big")
        if length < 2:
            raise corrupt("a segment has no length")
        if marker in START_OF_FRAME:
            return parse_frame_header(read_exactly(stream, length - 2, "the frame header"))
        stream.seek(length - 2, 1)
    raise corrupt("no frame header before the first scan")


def _next_marker(stream: BinaryIO) -> int:
    if read_exactly(stream, 1, "the segments") != b"\xff":
        raise corrupt("a segment does not begin with a marker")
    # T.81 B.1.1.2 allows any number of fill bytes FF.
    while (code := read_exactly(stream, 1, "the segments")) == b"\xff":
        continue
    return code[0]


def parse_frame_header(body: bytes) -> FrameHeader:
    """Read the content of an SOFn segment (T.81 B.2.2).

    Raises
    ------
    CorruptImage
        If it is too short or states no size.
    """
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise corrupt("the frame header is too short")
    precision, rows, columns, components = struct.unpack_from(">BHHB", body)
    if not rows or not columns or not components:
        raise corrupt("the frame header states no size")
    return FrameHeader(precision=precision, rows=rows, columns=columns, components=components)


def scans_are_complete(content: bytes) -> bool:
    """Whether an end marker stands behind the first scan's header, thumbnails inside of segments aside."""
    position = 2
    for _ in range(MAXIMUM_SEGMENTS):
        match = _MARKER_IN_SCAN.search(content, position)
        if match is None:
            return False
        marker, position = content[match.end() - 1], match.end()
        if marker == START_OF_SCAN:
            # From behind, where it mostly is: nothing else within a scan looks like it.
            return content.rfind(bytes([0xFF, END_OF_IMAGE]), position) >= 0
        if marker == END_OF_IMAGE:
            return False
        if marker not in STANDALONE:
            position += int.from_bytes(content[position : position + 2], "big")
    return False
