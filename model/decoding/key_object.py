"""Reads Key Object Selections: what a document is titled, and which objects it names. Rejection notes are such (IOCM).

The document comes from outside like a film, so it is read by the same bounded walk; it is small, so larger ones are
refused unread. Concludes nothing but whether its title rejects; ``services.jobs.rejection`` acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model.decoding.dicom_attributes import FileMeta, parse_uid, read_file_meta
from model.decoding.dicom_elements import Element, ItemPath, walk
from model.decoding.source import corrupt, open_source, read_exactly
from model.decoding.transfer_syntaxes import IMPLICIT_VR, JUDGED_TRANSFER_SYNTAXES

KEY_OBJECT_SELECTION: Final = "1.2.840.10008.5.1.4.1.1.88.59"
LARGEST_BYTES: Final = 1024 * 1024
# PS3.16 CID 7010, Key Object Selection Document Title: rejected for quality reasons, rejected for patient safety
# reasons, incorrect modality worklist entry, data retention policy expired.
REJECTION_TITLES: Final = frozenset({"113001", "113037", "113038", "113039"})

_SOP_CLASS_UID, _SOP_INSTANCE_UID, _STUDY_UID = 0x00080016, 0x00080018, 0x0020000D
_CODE_VALUE, _CODING_SCHEME = 0x00080100, 0x00080102
_REFERENCED_SOP_UID = 0x00081155
_TITLE, _EVIDENCE, _SERIES, _OBJECTS = 0x0040A043, 0x0040A375, 0x00081115, 0x00081199
_WANTED: Final = frozenset(
    {_SOP_CLASS_UID, _SOP_INSTANCE_UID, _STUDY_UID, _CODE_VALUE, _CODING_SCHEME, _REFERENCED_SOP_UID}
)
_LONGEST_VALUE_BYTES: Final = 64  # of a UID; codes and schemes are shorter (PS3.5 table 6.2-1)


@dataclass(frozen=True, kw_only=True)
class ReferencedObject:
    """An object that a document names, and the study that it says it is of."""

    study_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class KeyObject:
    """A Key Object Selection.

    Attributes
    ----------
    study_uid
        Its own; the objects that it names may be of others.
    title, scheme
        Code of (0040,A043) Concept Name Code Sequence at top level, and who defined it.
    references
        What (0040,A375) Current Requested Procedure Evidence Sequence names, each once, in its order.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    title: str
    scheme: str
    references: tuple[ReferencedObject, ...]

    @property
    def is_rejection(self) -> bool:
        """Whether its title says that what it names is not to be used any more (IHE RAD, IOCM)."""
        return self.scheme == "DCM" and self.title in REJECTION_TITLES


def read_key_object(source: Path | bytes) -> KeyObject:
    """Read a Key Object Selection; blocks.

    Raises
    ------
    CorruptImage
        If it is larger than ``LARGEST_BYTES``, deflated or big endian, of another SOP class, malformed, has no
        title, says a thing twice, names an object without its study, or rejects and names nothing.
    OSError
        If the file cannot be opened.
    """
    with open_source(source) as (stream, size):
        if size > LARGEST_BYTES:
            raise corrupt("larger than a Key Object Selection can be")
        meta = read_file_meta(stream)
        # Senders name the syntax of their pixels for documents, too; elements are explicit little endian all the same.
        if meta.transfer_syntax_uid not in JUDGED_TRANSFER_SYNTAXES:
            raise corrupt("a document is not sent in this transfer syntax")
        values: dict[tuple[ItemPath, int], bytes] = {}
        for element in walk(stream, meta.dataset_offset, size, is_implicit=meta.transfer_syntax_uid == IMPLICIT_VR):
            if element.tag in _WANTED and _is_place(element):
                if (element.path, element.tag) in values:
                    raise corrupt("an attribute occurs twice")
                if element.length is None or element.length > _LONGEST_VALUE_BYTES:
                    raise corrupt("a value is longer than its attribute can be")
                stream.seek(element.offset)
                values[element.path, element.tag] = read_exactly(stream, element.length, "an element")
    return _key_object(meta, values)


def _is_place(element: Element) -> bool:
    """Whether the element lies where this document says what it is: the content tree repeats these tags elsewhere."""
    sequences = tuple(tag for tag, _ in element.path)
    return sequences in ((), (_TITLE,), (_EVIDENCE,), (_EVIDENCE, _SERIES, _OBJECTS))


def _key_object(meta: FileMeta, values: dict[tuple[ItemPath, int], bytes]) -> KeyObject:
    def uid(tag: int, path: ItemPath = ()) -> str:
        found = parse_uid(values.get((path, tag), b""))
        if found is None:
            raise corrupt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is missing or empty")
        return found

    if uid(_SOP_CLASS_UID) != KEY_OBJECT_SELECTION:
        raise corrupt("not a Key Object Selection")
    title, scheme = (_text(values, ((_TITLE, 0),), tag) for tag in (_CODE_VALUE, _CODING_SCHEME))
    named = {
        ReferencedObject(study_uid=uid(_STUDY_UID, path[:1]), sop_instance_uid=uid(tag, path)): None
        for path, tag in values
        if tag == _REFERENCED_SOP_UID and len(path) == 3
    }
    note = KeyObject(
        sop_class_uid=KEY_OBJECT_SELECTION,
        sop_instance_uid=uid(_SOP_INSTANCE_UID),
        study_uid=uid(_STUDY_UID),
        title=title,
        scheme=scheme,
        references=tuple(named),
    )
    if note.is_rejection and not note.references:
        raise corrupt("a rejection note that names nothing")
    return note


def _text(values: dict[tuple[ItemPath, int], bytes], path: ItemPath, tag: int) -> str:
    """Return a code's value or scheme; a title that nobody can read must not pass for one that does nothing."""
    text = values.get((path, tag), b"").decode("latin-1").strip("\0 ")
    if not text:
        raise corrupt("the document has no title")
    return text
