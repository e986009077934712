"""Walks the segments of a JPEG or JPEG-LS stream: its frame header, its scans, and where they end.

Source: ITU-T T.81 annex B, T.87 annex C. Used for files and for DICOM frames; decodes nothing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import BinaryIO, Final

from model.decoding.source import corrupt, read_exactly

# T.81 table B.1: SOF0..SOF15 without DHT (C4), JPG (C8) and DAC (CC); F7 is SOF55 of JPEG-LS.
_START_OF_FRAME: Final = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_RESTARTS: Final = range(0xD0, 0xD8)
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
# Markers below are reserved: between entropy-coded bytes they are damage, and a decoder reads no further.
_FIRST_ASSIGNED: Final = 0xC0
_MAXIMUM_SEGMENTS = 10_000
# Bounds the work on a hostile file. The largest film that is judged has 390,625 blocks, no more than one interval each.
_MAXIMUM_RESTARTS = 1_000_000
_BLOCK_COEFFICIENTS: Final = 64
# In entropy-coded data JPEG stuffs a zero byte behind FF, JPEG-LS a zero bit: what follows FF in a marker has its
# highest bit set in both. Restart markers belong to the scan.
_MARKER_IN_SCAN = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
# What a JPEG decoder takes for a marker, fill bytes (T.81 B.1.1.2) before it included. Spelt with a literal first byte,
# which ``re`` finds 12 times faster than the start of "FF+".
_JPEG_MARKER = re.compile(rb"\xff\xff*[^\0\xff]")
# Begins with ones, because decoders make up zeros for missing bits; FF would be a marker.
_SURPLUS: Final = bytes((0xF6 + 91 * index) % 0xFF for index in range(64))


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
    for _ in range(_MAXIMUM_SEGMENTS):
        marker = _next_marker(stream)
        if marker in _STANDALONE:
            continue
        if marker in (_END_OF_IMAGE, _START_OF_SCAN):
            break
        length = int.from_bytes(read_exactly(stream, 2, "a segment"), "big")
        if length < 2:
            raise corrupt("a segment has no length")
        if marker in _START_OF_FRAME:
            return _frame_header(read_exactly(stream, length - 2, "the frame header"))
        stream.seek(length - 2, 1)
    raise corrupt("no frame header before the first scan")


def _next_marker(stream: BinaryIO) -> int:
    if read_exactly(stream, 1, "the segments") != b"\xff":
        raise corrupt("a segment does not begin with a marker")
    # T.81 B.1.1.2 allows any number of fill bytes FF.
    while (code := read_exactly(stream, 1, "the segments")) == b"\xff":
        continue
    return code[0]


def _frame_header(body: bytes) -> FrameHeader:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise corrupt("the frame header is too short")
    precision, rows, columns, components = struct.unpack_from(">BHHB", body)
    if not rows or not columns or not components:
        raise corrupt("the frame header states no size")
    return FrameHeader(precision=precision, rows=rows, columns=columns, components=components)


def scans_are_complete(content: bytes) -> bool:
    """Whether the end marker stands behind the last scan, thumbnails inside of segments aside."""
    position = 2
    for _ in range(_MAXIMUM_SEGMENTS):
        match = _MARKER_IN_SCAN.search(content, position)
        if match is None:
            return False
        marker, position = content[match.end() - 1], match.end()
        if marker == _END_OF_IMAGE:
            return True
        if marker not in _STANDALONE:
            position += int.from_bytes(content[position : position + 2], "big")
    return False


@dataclass(frozen=True, kw_only=True)
class _Marker:
    """A marker of a JPEG: its code, where it begins, and its segment's content (empty where it has none)."""

    code: int
    start: int
    is_in_scan: bool
    body: bytes


def with_surplus(content: bytes) -> bytes:
    """Return a JPEG that decodes to the same pixels if, and only if, none of its entropy-coded data is missing.

    Behind each restart interval stand surplus bytes, behind each scan one more interval of them. A decoder that has
    all its pixels skips them; one that lacks some takes them for pixels.

    Raises
    ------
    CorruptImage
        For what surplus bytes cannot show: no end marker, a restart interval missing between others, reserved markers,
        or scans that leave out components or, in a progressive JPEG, bits of coefficients.
    """
    pieces: list[bytes] = []
    taken = restarts = 0
    frame_code, components, scans = 0, 0, list[bytes]()
    for marker in _jpeg_markers(content):
        if marker.is_in_scan:
            following = _RESTARTS[restarts % len(_RESTARTS)]
            pieces += (content[taken : marker.start], _SURPLUS)
            taken = marker.start
            if marker.code not in _RESTARTS:
                pieces += (bytes([0xFF, following]), _SURPLUS)
            elif marker.code != following:
                raise corrupt("a restart interval is missing")
            restarts += 1
        if marker.code in _START_OF_FRAME:
            frame_code, components = marker.code, _frame_header(marker.body).components
        elif marker.code == _START_OF_SCAN:
            scans.append(marker.body)
            restarts = 0
    _require_every_scan(scans, components, is_progressive=frame_code in _PROGRESSIVE)
    return b"".join((*pieces, content[taken:]))


def _jpeg_markers(content: bytes) -> Iterator[_Marker]:
    """Yield the markers up to the end marker, which must come."""
    position, segments, restarts, is_in_scan = 2, 0, 0, False
    while segments < _MAXIMUM_SEGMENTS and restarts < _MAXIMUM_RESTARTS:
        match = _JPEG_MARKER.search(content, position)
        if match is None:
            raise corrupt("the JPEG ends before its end marker")
        code, position = content[match.end() - 1], match.end()
        if is_in_scan and code < _FIRST_ASSIGNED:
            raise corrupt("a reserved marker within a scan")
        has_body = code not in _STANDALONE and code != _END_OF_IMAGE
        length = int.from_bytes(content[position : position + 2], "big") if has_body else 0
        yield _Marker(
            code=code, start=match.start(), is_in_scan=is_in_scan, body=content[position + 2 : position + length]
        )
        if code == _END_OF_IMAGE:
            return
        position += length
        if code in _RESTARTS:
            restarts += 1
        else:
            segments += 1
            is_in_scan = code == _START_OF_SCAN
    raise corrupt("the JPEG has too many segments")


def _require_every_scan(scans: list[bytes], components: int, *, is_progressive: bool) -> None:
    """Raise where the scans' headers (T.81 B.2.3) do not add up to all components, to their last bit.

    Only a progressive scan holds a band of coefficients, and these without their low bits (T.81 G.1.1.1).
    """
    missing_bits: dict[tuple[int, int], int] = {}
    for body in scans:
        selectors = body[1 : 1 + 2 * body[0] : 2] if body else b""
        if not selectors or len(body) < 4 + 2 * len(selectors):
            raise corrupt("a scan header is too short")
        first, last, approximation = body[1 + 2 * len(selectors) : 4 + 2 * len(selectors)]
        if not is_progressive:
            first, last, approximation = 0, 0, 0
        band = range(first, min(last + 1, _BLOCK_COEFFICIENTS))
        for key in product(selectors, band):
            if missing_bits.get(key, 0) != approximation >> 4:
                raise corrupt("a progressive scan refines what no scan before it holds")
            missing_bits[key] = approximation & 0x0F
    whole = components * (_BLOCK_COEFFICIENTS if is_progressive else 1)
    if len(missing_bits) != whole or any(missing_bits.values()):
        raise corrupt("the JPEG lacks a scan")
