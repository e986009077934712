"""Tells whether two DICOM files are the same film: its pixels, what decides how they are shown and judged, and whose.

The same object reaches us as other bytes by each way that it takes: a sender writes groups, lengths, VRs and meta
information anew. What is digested here is what such a sender must leave as it is. Reads through the bounded walk, a
block at a time, and keeps nothing: the gateway calls it outside of any sandbox. Place in the walk: beside
``inspect_header``, where an object comes whose SOPInstanceUID is known with other bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from pydicom.datadict import dictionary_VR

from model.decoding.dicom_attributes import FileMeta, read_file_meta
from model.decoding.dicom_elements import PIXEL_TAGS, Element, find_items, walk
from model.decoding.dicom_header import WANTED_TAGS
from model.decoding.source import corrupt, open_source, read_exactly
from model.decoding.transfer_syntaxes import IMPLICIT_VR, JUDGED_TRANSFER_SYNTAXES, NATIVE
from model.errors import Reason, UnsuitableImage

_BLOCK_BYTES: Final = 256 * 1024
_MAXIMUM_VALUE_BYTES: Final = 160 * 1024  # as in dicom_attributes: a LUT of 65,536 16-bit entries
_ROWS, _COLUMNS, _SAMPLES, _FRAMES, _BITS_ALLOCATED = 0x00280010, 0x00280011, 0x00280002, 0x00280008, 0x00280100
# What makes a picture of the pixels. A test holds it against what the decoder asks for, which the gateway never loads.
_DISPLAY_TAGS: Final = frozenset(
    {
        *(_BITS_ALLOCATED, 0x00280101, 0x00280102, 0x00280103, 0x00280120, 0x00280121),
        *(0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00281056, 0x00283002, 0x00283006),
    }
)
# (0010,0020) Patient ID: whose chest it is. A result must not be filed under the patient that an object had by mistake.
_PATIENT_ID: Final = 0x00100020
COMPARED_TAGS: Final = WANTED_TAGS | _DISPLAY_TAGS | {_PATIENT_ID}
# Views, regions, Modality LUT, VOI LUT. Of other sequences nothing is asked, and archives add to them.
_COMPARED_SEQUENCES: Final = frozenset({0x00540220, 0x00082218, 0x00283000, 0x00283010})


@dataclass(frozen=True, kw_only=True)
class FilmDigest:
    """What two files of the same film have in common; equal digests, the same film.

    Attributes
    ----------
    pixels
        sha256 of the value of (7FE0,0010) Pixel Data behind a word for its encoding. Native: the value without the
        padding behind an odd number of bytes. Encapsulated: that word is the transfer syntax UID, and the value its
        fragments without item heads and offset table (PS3.5 A.4).
    attributes
        sha256 of the attributes of ``COMPARED_TAGS``, padding and case aside.
    """

    pixels: str
    attributes: str


def digest_film(source: Path | bytes) -> FilmDigest:
    """Digest a DICOM file's pixels, and the attributes that decide how they are shown and judged.

    A file without Pixel Data has the digest of no pixels. Blocks; holds no more than a few blocks of 256 KiB.

    Raises
    ------
    OSError
        If the file cannot be read: not the film's fault.
    CorruptImage
        If meta information, data set or fragments are malformed, or the file ends within them.
    UnsuitableImage
        If its transfer syntax is none of those judged (``transfer_syntax``): its data set is never read.
    """
    with open_source(source) as (stream, size):
        meta = read_file_meta(stream)
        if meta.transfer_syntax_uid not in JUDGED_TRANSFER_SYNTAXES:
            raise UnsuitableImage(Reason.TRANSFER_SYNTAX, "the transfer syntax is not judged")
        return _digest(stream, size, meta)


def _digest(stream: BinaryIO, size: int, meta: FileMeta) -> FilmDigest:
    attributes, pixels = hashlib.sha256(), hashlib.sha256()
    numbers: dict[int, bytes] = {}
    for element in walk(stream, meta.dataset_offset, size, is_implicit=meta.transfer_syntax_uid == IMPLICIT_VR):
        if element.tag in PIXEL_TAGS and not element.path:
            for block in _pixels(stream, size, element, meta, _expected_bytes(numbers)):
                pixels.update(block)
            break
        value = _compared_value(stream, element)
        if value:
            attributes.update(f"{element.path}{element.tag:08X}{len(value)}:".encode() + value)
            if not element.path:
                numbers[element.tag] = value if len(value) <= 16 else b""
    return FilmDigest(pixels=pixels.hexdigest(), attributes=attributes.hexdigest())


def _compared_value(stream: BinaryIO, element: Element) -> bytes:
    """Return a compared element's value in the one form that all encodings of it share; nothing for any other."""
    is_inside = not element.path or (len(element.path) == 1 and element.path[0][0] in _COMPARED_SEQUENCES)
    if element.tag not in COMPARED_TAGS or not is_inside or element.length is None:
        return b""
    if element.length > _MAXIMUM_VALUE_BYTES:
        raise corrupt("a value is longer than its attribute can be")
    value = read_exactly(stream, element.length, "an element")
    # By the dictionary, not by the file: implicit files do not say, and some senders say UN.
    if dictionary_VR(element.tag).startswith(("US", "SS", "OW")):
        return value
    parts = value.replace(b"\0", b" ").split(b"\\")
    return b"\\".join(b" ".join(part.split()).upper() for part in parts)


def _expected_bytes(numbers: dict[int, bytes]) -> int | None:
    """Return how many bytes native pixels have without padding; ``None`` where the header does not say."""
    try:
        rows, columns, samples, bits = (
            int.from_bytes(numbers[tag], "little") for tag in (_ROWS, _COLUMNS, _SAMPLES, _BITS_ALLOCATED)
        )
        return rows * columns * samples * int(numbers.get(_FRAMES, b"1")) * bits // 8
    except (KeyError, ValueError):
        return None


def _pixels(
    stream: BinaryIO, size: int, pixels: Element, meta: FileMeta, expected_bytes: int | None
) -> Iterator[bytes]:
    """Yield the word for the encoding, then the value; a block at a time."""
    if (meta.transfer_syntax_uid in NATIVE) != (pixels.length is not None):
        raise corrupt("the pixels are not encoded as their transfer syntax says")
    if pixels.length is None:
        yield f"{meta.transfer_syntax_uid}:".encode()
        for offset, length in islice(find_items(stream, pixels, size), 1, None):
            yield from _blocks(stream, offset, length, "a fragment")
        return
    # Float and Double Float Pixel Data are no films; their tag keeps them apart from what is.
    yield f"native {pixels.tag:08X}:".encode()
    is_padded = expected_bytes is not None and expected_bytes % 2 == 1 and pixels.length == expected_bytes + 1
    yield from _blocks(stream, pixels.offset, pixels.length - is_padded, "Pixel Data")


def _blocks(stream: BinaryIO, offset: int, length: int, what: str) -> Iterator[bytes]:
    stream.seek(offset)
    while length > 0:
        block = read_exactly(stream, min(length, _BLOCK_BYTES), what)
        yield block
        length -= len(block)
