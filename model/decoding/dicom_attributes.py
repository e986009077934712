"""Reads a DICOM file's meta information and the attributes this product asks for, as Python values.

Sits on ``dicom_elements``; ``dicom_header`` and ``dicom_pixels`` ask it by tag. Must not know what to conclude from
an attribute. Conversions are our own because a converted pydicom element warns by quoting its value, which is PHI.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from pydicom.datadict import dictionary_VR

from model.decoding.dicom_elements import PIXEL_TAGS, Element, ItemPath, walk
from model.decoding.source import corrupt, read_exactly
from model.decoding.transfer_syntaxes import IMPLICIT_VR

# A LUT of 65,536 16-bit entries is the longest value ever asked for.
_MAXIMUM_VALUE_BYTES: Final = 160 * 1024
_MAXIMUM_META_ELEMENTS: Final = 64
_NO_PREAMBLE = b"\0" * 128
# PS3.10 7.1: zero, or what makes the file a TIFF too. Anything else may be a program (CVE-2019-11687).
_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONG_META_VRS = (b"OB", b"UN", b"OW", b"UT", b"UC", b"UR", b"SQ")


@dataclass(frozen=True, kw_only=True)
class FileMeta:
    """File meta information (PS3.10 7.1): the three UIDs, and where the data set begins."""

    transfer_syntax_uid: str
    sop_class_uid: str | None
    sop_instance_uid: str | None
    dataset_offset: int


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """Wanted values of one data set, by path and tag; conversions by VR.

    ``pixels`` is the element that ends the walk, if there is one.
    """

    values: dict[tuple[ItemPath, int], bytes] = field(default_factory=dict)
    vrs: dict[tuple[ItemPath, int], bytes] = field(default_factory=dict)
    pixels: Element | None = None

    def text(self, tag: int, path: ItemPath = ()) -> tuple[str, ...]:
        """Return the values of a text element: split, stripped, upper case; empty where absent or empty."""
        value = self.values.get((path, tag), b"").decode("latin-1")
        parts = tuple(" ".join(part.split()).upper() for part in value.replace("\0", " ").split("\\"))
        return parts if any(parts) else ()

    def uid(self, tag: int) -> str | None:
        """Return a UI value; ``None`` where absent or empty.

        Raises
        ------
        CorruptImage
            If it is not 1 to 64 characters of digits in dotted groups (PS3.5 9.1).
        """
        return parse_uid(self.values.get(((), tag), b""))

    def numbers(self, tag: int) -> tuple[float, ...]:
        """Return the values of a DS or IS element; empty where absent or empty.

        Raises
        ------
        CorruptImage
            If one is no number; NaN and infinity are numbers here.
        """
        try:
            return tuple(float(part) for part in self.text(tag))
        except ValueError:
            raise corrupt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not a number") from None

    def number(self, tag: int) -> float | None:
        """Return the one finite value of a DS or IS element; ``None`` where absent."""
        numbers = self.numbers(tag)
        if len(numbers) > 1 or not all(math.isfinite(number) for number in numbers):
            raise corrupt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not one finite number")
        return numbers[0] if numbers else None

    def shorts(self, tag: int, path: ItemPath = (), *, is_signed: bool = False) -> tuple[int, ...]:
        """Return the 16-bit integers of a US, SS or OW element; empty where absent.

        Raises
        ------
        CorruptImage
            If the value is not a whole number of 16-bit words.
        """
        value = self.values.get((path, tag), b"")
        if len(value) % 2:
            raise corrupt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not made of 16-bit integers")
        return struct.unpack(f"<{len(value) // 2}{'h' if is_signed else 'H'}", value)

    def short(self, tag: int) -> int | None:
        """Return the one 16-bit unsigned integer of a US element; ``None`` where absent."""
        values = self.shorts(tag)
        if len(values) > 1:
            raise corrupt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has several values")
        return values[0] if values else None

    def item_paths(self, tag: int) -> tuple[ItemPath, ...]:
        """Return the paths of the items of a top-level sequence that hold wanted values, in order."""
        found = {path for path, _ in self.values if len(path) == 1 and path[0][0] == tag}
        return tuple(sorted(found))


def parse_uid(value: bytes) -> str | None:
    """Return a UI value as text; ``None`` where empty. Raises ``CorruptImage`` where it is no UID (PS3.5 9.1)."""
    text = value.decode("latin-1").strip("\0 ")
    if not text:
        return None
    if len(text) > 64 or not _UID.fullmatch(text):
        raise corrupt("a UID is not made of digits and dots")
    return text


def read_file_meta(stream: BinaryIO) -> FileMeta:
    """Read preamble and group 0002, which is explicit little endian whatever follows (PS3.10 7.1).

    Raises
    ------
    CorruptImage
        If the preamble is neither zero nor TIFF, the group is malformed, or it names no transfer syntax.
    """
    preamble = read_exactly(stream, 132, "the preamble")[:128]
    if preamble != _NO_PREAMBLE and not preamble.startswith(_TIFF_MAGICS):
        raise corrupt("the preamble holds foreign bytes")
    found: dict[int, bytes] = {}
    for _ in range(_MAXIMUM_META_ELEMENTS):
        position = stream.tell()
        head = stream.read(8)
        if len(head) < 8 or head[:2] != b"\x02\x00":
            break
        length = int.from_bytes(head[6:8], "little")
        if head[4:6] in _LONG_META_VRS:
            length = int.from_bytes(read_exactly(stream, 4, "the meta information"), "little")
        if length > _MAXIMUM_VALUE_BYTES:
            raise corrupt("an element of the meta information is too long")
        found[int.from_bytes(head[2:4], "little")] = read_exactly(stream, length, "the meta information")
    else:
        raise corrupt("too many elements in the meta information")
    transfer_syntax = parse_uid(found.get(0x0010, b""))
    if transfer_syntax is None:
        raise corrupt("no transfer syntax is named")
    return FileMeta(
        transfer_syntax_uid=transfer_syntax,
        sop_class_uid=parse_uid(found.get(0x0002, b"")),
        sop_instance_uid=parse_uid(found.get(0x0003, b"")),
        dataset_offset=position,
    )


def read_attributes(stream: BinaryIO, size: int, meta: FileMeta, wanted: frozenset[int]) -> Attributes:
    """Read the ``wanted`` tags, at top level and one sequence down; skip everything else.

    Raises
    ------
    CorruptImage
        As ``walk``; also if a wanted tag occurs twice in one data set (which of the two is the film?) or is longer
        than any legal value.
    """
    values: dict[tuple[ItemPath, int], bytes] = {}
    vrs: dict[tuple[ItemPath, int], bytes] = {}
    is_implicit = meta.transfer_syntax_uid == IMPLICIT_VR
    for element in walk(stream, meta.dataset_offset, size, is_implicit=is_implicit):
        if element.tag in PIXEL_TAGS and not element.path:
            return Attributes(values=values, vrs=vrs, pixels=element)
        if element.tag not in wanted or len(element.path) > 1 or element.length is None:
            continue
        key = (element.path, element.tag)
        if key in values:
            raise corrupt("an attribute occurs twice")
        if element.length > _MAXIMUM_VALUE_BYTES:
            raise corrupt("a value is longer than its attribute can be")
        values[key] = read_exactly(stream, element.length, "an element")
        vrs[key] = element.vr or dictionary_VR(element.tag).encode()
    return Attributes(values=values, vrs=vrs)
