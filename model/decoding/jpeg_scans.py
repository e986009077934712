"""The scans of a JPEG: what stands before them, whether one is missing, and copies that show what is missing in one.

Source: ITU-T T.81 annexes B and G. Decodes nothing; ``jpeg`` does, with what it learns here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

from model.decoding.jpeg_segments import (
    END_OF_IMAGE,
    MAXIMUM_SEGMENTS,
    STANDALONE,
    START_OF_FRAME,
    START_OF_SCAN,
    FrameHeader,
    parse_frame_header,
)
from model.decoding.source import corrupt

END_MARKER: Final = bytes([0xFF, END_OF_IMAGE])
_DEFINE_RESTARTS: Final = 0xDD
_RESTARTS: Final = range(0xD0, 0xD8)
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
# Markers below are reserved: between entropy-coded bytes they are damage, and a decoder reads no further.
_FIRST_ASSIGNED: Final = 0xC0
# Bounds the work on a hostile file. The largest film that is judged has 390,625 blocks, no more than one interval each.
_MAXIMUM_RESTARTS = 1_000_000
_BLOCK_COEFFICIENTS: Final = 64
# What a JPEG decoder takes for a marker, fill bytes (T.81 B.1.1.2) before it included. Spelt with a literal first byte,
# which ``re`` finds 12 times faster than the start of "FF+".
_JPEG_MARKER = re.compile(rb"\xff\xff*[^\0\xff]")
# Begins with ones, because decoders make up zeros for missing bits; FF would be a marker.
_SURPLUS: Final = bytes((0xF6 + 91 * index) % 0xFF for index in range(64))


@dataclass(frozen=True, kw_only=True)
class JpegHead:
    """What stands before the first scan: SOFn with its code, and whether scans are cut into restart intervals.

    ``rows_at`` is where the frame header states its rows, ``scan_at`` where the first scan header begins.
    """

    code: int
    frame: FrameHeader
    has_restarts: bool
    rows_at: int
    scan_at: int


def read_head(content: bytes) -> JpegHead:
    """Read a JPEG up to its first scan.

    Raises
    ------
    CorruptImage
        If there is no scan behind a frame header, or the frame header is malformed.
    """
    frame: _Marker | None = None
    has_restarts = False
    for marker in _jpeg_markers(content):
        if marker.code in START_OF_FRAME:
            frame = marker
        elif marker.code == _DEFINE_RESTARTS:
            has_restarts = any(marker.body)
        elif marker.code == START_OF_SCAN and frame is not None:
            return JpegHead(
                code=frame.code,
                frame=parse_frame_header(frame.body),
                has_restarts=has_restarts,
                # behind the marker, the segment's length and the precision
                rows_at=frame.end + 3,
                scan_at=marker.start,
            )
    raise corrupt("no scan behind a frame header")


def with_rows(content: bytes, head: JpegHead, rows: int) -> bytearray:
    """Return the JPEG with another number of rows in its frame header."""
    changed = bytearray(content)
    struct.pack_into(">H", changed, head.rows_at, rows)
    return changed


class _Marker(NamedTuple):
    """A marker of a JPEG: its code, from where to where it is, and its segment's content (empty where it has none).

    ``next_restart`` is the code of the restart marker that may come next in this scan. A tuple, because a hostile file
    has a million of them.
    """

    code: int
    start: int
    end: int
    is_in_scan: bool
    next_restart: int
    body: bytes


def require_every_scan(content: bytes) -> None:
    """Return if no scan and no restart interval of a JPEG is missing; what is within them is the decoder's to check.

    Raises
    ------
    CorruptImage
        If there is no end marker, a restart interval missing between others, reserved markers, or scans that leave out
        components or, in a progressive JPEG, bits of coefficients.
    """
    for _ in _checked_markers(content):
        continue


def with_surplus(content: bytes) -> bytes:
    """Return a JPEG that decodes to the same pixels if, and only if, none of its entropy-coded data is missing.

    Behind each restart interval stand surplus bytes, behind each scan one more interval of them. A decoder that has
    all its pixels skips them; one that lacks some takes them for pixels.

    Raises
    ------
    CorruptImage
        For what surplus bytes cannot show, see ``require_every_scan``.
    """
    pieces: list[bytes] = []
    taken = 0
    for marker in _checked_markers(content):
        if marker.is_in_scan:
            pieces += (content[taken : marker.start], _SURPLUS)
            taken = marker.start
            if marker.code not in _RESTARTS:
                pieces += (bytes([0xFF, marker.next_restart]), _SURPLUS)
    return b"".join((*pieces, content[taken:]))


def _checked_markers(content: bytes) -> Iterator[_Marker]:
    frame_code, components, scans = 0, 0, list[bytes]()
    for marker in _jpeg_markers(content):
        if marker.is_in_scan and marker.code in _RESTARTS and marker.code != marker.next_restart:
            raise corrupt("a restart interval is missing")
        if marker.code in START_OF_FRAME:
            frame_code, components = marker.code, parse_frame_header(marker.body).components
        elif marker.code == START_OF_SCAN:
            scans.append(marker.body)
        yield marker
    _require_every_scan(scans, components, is_progressive=frame_code in _PROGRESSIVE)


def _jpeg_markers(content: bytes) -> Iterator[_Marker]:
    """Yield the markers up to the end marker, which must come."""
    position, segments, restarts, intervals, is_in_scan = 2, 0, 0, 0, False
    while segments < MAXIMUM_SEGMENTS and restarts < _MAXIMUM_RESTARTS:
        match = _JPEG_MARKER.search(content, position)
        if match is None:
            raise corrupt("the JPEG ends before its end marker")
        code, position = content[match.end() - 1], match.end()
        if is_in_scan and code < _FIRST_ASSIGNED:
            raise corrupt("a reserved marker within a scan")
        has_body = code not in STANDALONE and code != END_OF_IMAGE
        length = int.from_bytes(content[position : position + 2], "big") if has_body else 0
        yield _Marker(
            code=code,
            start=match.start(),
            end=position,
            is_in_scan=is_in_scan,
            next_restart=_RESTARTS[intervals % len(_RESTARTS)],
            body=content[position + 2 : position + length],
        )
        if code == END_OF_IMAGE:
            return
        position += length
        if code in _RESTARTS:
            restarts, intervals = restarts + 1, intervals + 1
        else:
            segments, intervals = segments + 1, 0
            is_in_scan = code == START_OF_SCAN
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
