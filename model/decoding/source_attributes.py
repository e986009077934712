"""What a result has to repeat of the film that it speaks of: patient, study, references; never pixels.

Reads the top-level elements of a list and nothing else, by the bounded walk of ``dicom_elements``; ``texts`` turns them
into Unicode, so that results can be written in ISO_IR 192 (PROTOCOLS §4). A name or identifier that is not legal
refuses the file; of the rest, what is not legal is left out, for the place of a result follows from the UIDs. Must not
know what results look like.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from model.decoding.character_sets import encodings_of
from model.decoding.dicom_attributes import FileMeta, read_file_meta
from model.decoding.dicom_elements import PIXEL_TAGS, walk
from model.decoding.source import corrupt, open_source, read_exactly
from model.decoding.texts import Texts
from model.decoding.transfer_syntaxes import IMPLICIT_VR, JUDGED_TRANSFER_SYNTAXES, LOSSY
from model.errors import Reason, UnsuitableImage, UnsupportedFormat

# PS3.5 6.2: a name has three groups of 64 characters, of at most four bytes each, and escape sequences between them.
_MAXIMUM_VALUE_BYTES: Final = 1024
_CHARACTER_SET: Final = 0x00080005
_WANTED: Final = frozenset(
    {
        *(_CHARACTER_SET, 0x00080016, 0x00080018, 0x00080020, 0x00080030, 0x00080050, 0x00080090, 0x00080201),
        *(0x00081030, 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040, 0x00101010, 0x00180015),
        *(0x0020000D, 0x0020000E, 0x00200010, 0x00200020, 0x00200060, 0x00200062),
        *(0x00282110, 0x00282112, 0x00282114),
    }
)
# Legal values of DA, TM, AS and DS (PS3.5 6.2), and of the offset (PS3.3 C.12.1.1.8).
_DATE: Final = re.compile(r"(\d{4})\.?(0[1-9]|1[0-2])\.?(0[1-9]|[12]\d|3[01])")
_TIME: Final = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d)(\.\d{1,6})?)?)?")
_OFFSET: Final = re.compile(r"([+-](?:0\d|1[0-4])[0-5]\d)")
_AGE: Final = re.compile(r"(\d{3}[DWMY])")
_DECIMAL: Final = re.compile(r"\d{1,8}(\.\d{1,6})?")
_CODE: Final = re.compile(r"([A-Z0-9 _]{1,16})")
_LETTER: Final = re.compile(r"([A-Z])")
_DIRECTION: Final = re.compile(r"[APRLHF]{1,3}")


@dataclass(frozen=True, kw_only=True)
class SourceAttributes:
    """One film's attributes as a result repeats them; texts are Unicode, absent ones ``None`` or empty.

    Attributes
    ----------
    patient_name, patient_id
        (0010,0010), (0010,0020): as they are in the film, empty where they are empty there.
    utc_offset
        (0008,0201) Timezone Offset From UTC as ``+HHMM``: what the film's dates and times are in.
    laterality
        (0020,0062) Image Laterality, else (0020,0060) Laterality.
    patient_orientation
        (0020,0020): the directions of rows and columns, or empty.
    is_lossy, lossy_ratios, lossy_methods
        (0028,2110), (0028,2112), (0028,2114); a transfer syntax that is always lossy says so too.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_name: str
    patient_id: str
    issuer_of_patient_id: str | None
    patient_birth_date: str | None
    patient_sex: str | None
    patient_age: str | None
    study_date: str | None
    study_time: str | None
    study_id: str | None
    study_description: str | None
    accession_number: str | None
    referring_physician_name: str | None
    utc_offset: str | None
    body_part: str | None
    laterality: str | None
    patient_orientation: tuple[str, ...]
    is_lossy: bool
    lossy_ratios: tuple[str, ...]
    lossy_methods: tuple[str, ...]


def read_source_attributes(source: Path | bytes) -> SourceAttributes:
    """Read what a result repeats of a DICOM file; at most 1 KiB of any one element.

    Raises
    ------
    UnsupportedFormat
        If it is no DICOM Part 10 file.
    UnsuitableImage
        If its transfer syntax is none that is judged: nothing behind the meta information is touched then.
    CorruptImage
        If it is malformed, names no study, series or instance, or its patient's name or identifier is not legal.
    """
    with open_source(source) as (stream, size):
        if stream.read(132)[128:] != b"DICM":
            raise UnsupportedFormat(Reason.DECODE_ERROR, "not DICOM Part 10")
        stream.seek(0)
        meta = read_file_meta(stream)
        if meta.transfer_syntax_uid not in JUDGED_TRANSFER_SYNTAXES:
            raise UnsuitableImage(Reason.TRANSFER_SYNTAX, "a transfer syntax that is not read")
        values = _values(stream, size, meta)
    terms = values.get(_CHARACTER_SET, b"").decode("latin-1").split("\\")
    texts = Texts(values, encodings_of([term.strip("\0 ").upper() for term in terms]))
    return _attributes(texts, meta)


def _values(stream: BinaryIO, size: int, meta: FileMeta) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    is_implicit = meta.transfer_syntax_uid == IMPLICIT_VR
    for element in walk(stream, meta.dataset_offset, size, is_implicit=is_implicit):
        if element.path or element.tag in PIXEL_TAGS or element.tag not in _WANTED:
            continue
        if element.tag in values:
            raise corrupt("an attribute occurs twice")
        if element.length is None or element.length > _MAXIMUM_VALUE_BYTES:
            raise corrupt("a value is longer than its attribute can be")
        values[element.tag] = read_exactly(stream, element.length, "an element")
    return values


def _attributes(texts: Texts, meta: FileMeta) -> SourceAttributes:
    return SourceAttributes(
        sop_class_uid=texts.uid(0x00080016, otherwise=meta.sop_class_uid),
        sop_instance_uid=texts.uid(0x00080018, otherwise=meta.sop_instance_uid),
        study_instance_uid=texts.uid(0x0020000D),
        series_instance_uid=texts.uid(0x0020000E),
        patient_name=texts.name(0x00100010),
        patient_id=texts.verbatim(0x00100020, 64),
        issuer_of_patient_id=texts.optional(0x00100021, 64),
        patient_birth_date=texts.matching(0x00100030, _DATE),
        patient_sex=texts.matching(0x00100040, _LETTER),
        patient_age=texts.matching(0x00101010, _AGE),
        study_date=texts.matching(0x00080020, _DATE),
        study_time=texts.matching(0x00080030, _TIME),
        study_id=texts.optional(0x00200010, 16),
        study_description=texts.optional(0x00081030, 64),
        accession_number=texts.optional(0x00080050, 16),
        referring_physician_name=texts.optional_name(0x00080090),
        utc_offset=texts.matching(0x00080201, _OFFSET),
        body_part=texts.matching(0x00180015, _CODE),
        laterality=texts.matching(0x00200062, _LETTER) or texts.matching(0x00200060, _LETTER),
        patient_orientation=texts.several(0x00200020, _DIRECTION, least=2, most=2),
        is_lossy=meta.transfer_syntax_uid in LOSSY or texts.matching(0x00282110, _CODE) == "01",
        lossy_ratios=texts.several(0x00282112, _DECIMAL, most=8),
        lossy_methods=texts.several(0x00282114, _CODE, most=8),
    )
