"""Walks the elements of a DICOM data set without recursion, within fixed bounds and without reading pixels.

pydicom's reader recurses into sequences and keeps every element it meets, so that 64 MiB of hostile bytes can cost
gigabytes or the interpreter's stack, and its warnings quote values (PHI). This walk keeps nothing: it yields where each
element's value lies, counts, and refuses. ``dicom_attributes`` turns the few values that matter into Python; the tests
hold both against pydicom on real files. Owns PS3.5 section 7; must not know what any attribute means.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeAlias

from pydicom.datadict import dictionary_VR

from model.decoding.source import corrupt, read_exactly

MAXIMUM_DEPTH: Final = 16
MAXIMUM_ELEMENTS: Final = 10_000
# (7FE0,0008) Float, (7FE0,0009) Double Float, (7FE0,0010) Pixel Data: the walk ends at the first one at top level.
PIXEL_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
# PS3.5 7.1.2: these have two reserved bytes and a 32-bit length, all others a 16-bit length.
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT"}
    | {b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)


# The enclosing sequences of an element, outermost first: (sequence tag, item index).
ItemPath: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Element:
    """Where one element's value lies.

    ``length`` is ``None`` for encapsulated values; ``vr`` is empty where the encoding is implicit.
    """

    tag: int
    vr: bytes
    offset: int
    length: int | None
    path: ItemPath


@dataclass(slots=True)
class _Level:
    """One open container: a data set (top level or item), a sequence's items, or the fragments of a value."""

    kind: str
    end: int | None
    is_implicit: bool
    path: ItemPath = ()
    tag: int = 0
    items: int = 0


def walk(stream: BinaryIO, start: int, size: int, *, is_implicit: bool) -> Iterator[Element]:
    """Yield the elements of a little-endian data set, nested ones too, up to Pixel Data; their values may be read.

    Raises
    ------
    CorruptImage
        If a length leaves its container or the file, a sequence is malformed, sequences nest deeper than
        ``MAXIMUM_DEPTH``, or there are more than ``MAXIMUM_ELEMENTS`` elements and items.
    """
    levels = [_Level("dataset", size, _guess_implicit(stream, start, is_implicit))]
    position, count = start, 0
    while levels:
        level = levels[-1]
        if level.end is not None and position >= level.end:
            _close(levels, position)
            continue
        stream.seek(position)
        if len(levels) == 1 and size - position < 8:
            return  # padding behind the last element
        head = read_exactly(stream, 8, "an element")
        if (count := count + 1) > MAXIMUM_ELEMENTS:
            raise corrupt(f"more than {MAXIMUM_ELEMENTS} elements")
        if level.kind != "dataset":
            position = _enter_item(levels, head, position + 8, size)
            continue
        tag = _tag(head)
        if tag == _ITEM_END and level.end is None:
            levels.pop()
            position += 8
            continue
        element, is_container = _element(stream, head, position, level)
        _check_inside(element, level, size)
        if len(levels) == 1 and tag in PIXEL_TAGS:
            yield element
            return
        if is_container:
            _push_container(levels, element)
        else:
            yield element
        position = element.offset if is_container else element.offset + (element.length or 0)


def _tag(head: bytes) -> int:
    group, number = struct.unpack_from("<HH", head)
    return int(group) << 16 | int(number)


def _guess_implicit(stream: BinaryIO, start: int, declared: bool) -> bool:
    """Believe the first element rather than the transfer syntax: files exist whose writers mixed the two up."""
    stream.seek(start)
    vr = stream.read(6)[4:]
    if declared:
        return vr not in _SHORT_VRS | _LONG_VRS
    return not (vr.isalpha() and vr.isupper())


def _element(stream: BinaryIO, head: bytes, position: int, level: _Level) -> tuple[Element, bool]:
    """Read one element's head; say whether its value holds items."""
    tag, vr = _tag(head), head[4:6]
    if tag >> 16 == 0xFFFE:
        raise corrupt("an item delimiter where an element must be")
    offset = position + 8
    if level.is_implicit or not (vr.isalpha() and vr.isupper()):
        vr = b""
        length = int.from_bytes(head[4:8], "little")
    elif vr in _LONG_VRS:
        length = int.from_bytes(read_exactly(stream, 4, "an element"), "little")
        offset += 4
    else:
        length = int.from_bytes(head[6:8], "little")
    is_undefined = length == _UNDEFINED
    is_sequence = vr == b"SQ" or (vr == b"" and _dictionary_vr(tag) == "SQ" and _begins_with_item(stream, offset))
    return Element(tag, vr, offset, None if is_undefined else length, level.path), is_sequence or is_undefined


def _dictionary_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _begins_with_item(stream: BinaryIO, offset: int) -> bool:
    """Whether a value that the dictionary calls a sequence is one: some tags had another VR in older editions."""
    stream.seek(offset)
    head = stream.read(4)
    return len(head) == 4 and _tag(head) == _ITEM


def _push_container(levels: list[_Level], element: Element) -> None:
    depth = sum(level.kind == "items" for level in levels)
    if depth >= MAXIMUM_DEPTH:
        raise corrupt(f"sequences nest deeper than {MAXIMUM_DEPTH}")
    # PS3.5 6.2.2: a UN value of undefined length is a sequence in implicit encoding. Other undefined lengths that
    # are not sequences hold fragments, not data sets.
    kind = "items" if element.vr in (b"SQ", b"UN", b"") else "fragments"
    end = None if element.length is None else element.offset + element.length
    is_implicit = levels[-1].is_implicit or element.vr != b"SQ"
    levels.append(_Level(kind, end, is_implicit, element.path, element.tag))


def _enter_item(levels: list[_Level], head: bytes, position: int, size: int) -> int:
    """Take the next item of a sequence or of fragments; return where reading goes on."""
    level, tag, length = levels[-1], _tag(head), int.from_bytes(head[4:8], "little")
    if tag == _SEQUENCE_END and level.end is None:
        levels.pop()
        return position
    if tag != _ITEM:
        raise corrupt("a sequence holds something else than items")
    end = None if length == _UNDEFINED else position + length
    limit = size if level.end is None else level.end
    if end is not None and end > limit:
        raise corrupt("an item leaves its sequence")
    if level.kind == "fragments":
        if end is None:
            raise corrupt("a fragment has no length")
        return end
    levels.append(_Level("dataset", end, level.is_implicit, (*level.path, (level.tag, level.items))))
    level.items += 1
    return position


def _check_inside(element: Element, level: _Level, size: int) -> None:
    limit = size if level.end is None else level.end
    # Truncated pixels are the decoder's to find: a header inspection accepts a film by its header alone.
    is_pixels = element.tag in PIXEL_TAGS and not element.path
    if element.length is not None and element.offset + element.length > limit and not is_pixels:
        raise corrupt("an element is longer than what holds it")


def _close(levels: list[_Level], position: int) -> None:
    if position != levels.pop().end:
        raise corrupt("an element leaves its item")


def fragments(stream: BinaryIO, pixels: Element, size: int) -> list[bytes]:
    """Return the fragments of an encapsulated Pixel Data element, behind its Basic Offset Table (PS3.5 A.4).

    Raises
    ------
    CorruptImage
        If an item is malformed, the file ends before the sequence delimiter, or the offset table names several frames.
    """
    found = []
    for offset, length in find_items(stream, pixels, size):
        stream.seek(offset)
        found.append(read_exactly(stream, length, "a fragment"))
    if not found or len(found[0]) > 4:
        raise corrupt("the offset table is missing or names several frames")
    return found[1:]


def find_items(stream: BinaryIO, pixels: Element, size: int) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each item of an encapsulated value, the offset table first; values may be read.

    Raises
    ------
    CorruptImage
        If an item is malformed, there are too many, or the file ends before the sequence delimiter.
    """
    position = pixels.offset
    for _ in range(MAXIMUM_ELEMENTS):
        stream.seek(position)
        head = read_exactly(stream, 8, "the encapsulated pixels")
        tag, length = _tag(head), int.from_bytes(head[4:], "little")
        if tag == _SEQUENCE_END:
            return
        if tag != _ITEM:
            raise corrupt("the encapsulated pixels hold something else than fragments")
        if position + 8 + length > size:
            raise corrupt("the file ends within a fragment")
        yield position + 8, length
        position += 8 + length
    raise corrupt(f"more than {MAXIMUM_ELEMENTS} fragments")
