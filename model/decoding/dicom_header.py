"""From DICOM attributes to a ``Header``: which tag says what the gate wants to know (PROTOCOLS §3).

Uses ``dicom_attributes``; concludes nothing, the gate does.
"""

from __future__ import annotations

import math
import re
from datetime import date
from typing import BinaryIO, Final

from model.decoding.dicom_attributes import (
    Attributes,
    FileMeta,
    read_attributes,
    read_file_meta,
)
from model.decoding.header import Header, ImageFormat
from model.decoding.source import corrupt
from model.decoding.transfer_syntaxes import JUDGED_TRANSFER_SYNTAXES
from model.demographics import OLDEST_YEARS

_CODE_VALUE = 0x00080100
_VIEW_CODE_SEQUENCE = 0x00540220
_ANATOMIC_REGION_SEQUENCE = 0x00082218
_PIXEL_DATA = 0x7FE00010

WANTED_TAGS: Final = frozenset(
    {
        *(0x00080008, 0x00080016, 0x00080018, 0x00080020, 0x00080060, 0x00080068, _CODE_VALUE),
        *(0x00100030, 0x00100040, 0x00101010, 0x00180015, 0x00181164, 0x00185101),
        *(0x0020000D, 0x00200020, 0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280030),
        *(0x00280034, 0x00280101, 0x00280300, 0x20500020),
    }
)
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_DAYS_PER_YEAR = 365.25
_UNITS_PER_YEAR = {"D": _DAYS_PER_YEAR, "W": _DAYS_PER_YEAR / 7, "M": 12.0, "Y": 1.0}
_CLASH_YEARS = 2.0


def inspect_dicom(stream: BinaryIO, size: int) -> Header:
    """Read meta information and attributes; nothing after the meta where the transfer syntax is not judged.

    Raises
    ------
    CorruptImage
        If the meta information or the data set is malformed, or a UID is none.
    """
    meta = read_file_meta(stream)
    if meta.transfer_syntax_uid not in JUDGED_TRANSFER_SYNTAXES:
        return Header(
            image_format=ImageFormat.DICOM,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
        )
    return _header(meta, read_attributes(stream, size, meta, WANTED_TAGS))


def _header(meta: FileMeta, attributes: Attributes) -> Header:
    age_years, age_is_contradictory = _age(attributes)
    frames = attributes.number(0x00280008)
    if frames is not None and not frames.is_integer():
        raise corrupt("(0028,0008) is not an integer")
    return Header(
        image_format=ImageFormat.DICOM,
        rows=attributes.short(0x00280010),
        columns=attributes.short(0x00280011),
        bits_stored=attributes.short(0x00280101),
        samples_per_pixel=attributes.short(0x00280002),
        number_of_frames=1 if frames is None else int(frames),
        has_pixel_data=_has_pixel_data(attributes),
        transfer_syntax_uid=meta.transfer_syntax_uid,
        sop_class_uid=attributes.uid(0x00080016) or meta.sop_class_uid,
        sop_instance_uid=attributes.uid(0x00080018) or meta.sop_instance_uid,
        study_instance_uid=attributes.uid(0x0020000D),
        modality=_joined(attributes, 0x00080060),
        photometric_interpretation=_joined(attributes, 0x00280004),
        presentation_intent=_joined(attributes, 0x00080068),
        presentation_lut_shape=_joined(attributes, 0x20500020),
        body_part=_joined(attributes, 0x00180015),
        anatomic_region_codes=_codes(attributes, _ANATOMIC_REGION_SEQUENCE),
        view_position=_joined(attributes, 0x00185101),
        view_codes=_codes(attributes, _VIEW_CODE_SEQUENCE),
        patient_orientation=attributes.text(0x00200020),
        image_type=attributes.text(0x00080008),
        is_quality_control=bool({"YES", "BOTH"} & set(attributes.text(0x00280300))),
        pixel_aspect=_pixel_aspect(attributes),
        age_years=age_years,
        age_is_contradictory=age_is_contradictory,
        sex=_joined(attributes, 0x00100040),
    )


def _joined(attributes: Attributes, tag: int) -> str | None:
    """Return all values as DICOM writes them: a second value must not hide behind the first."""
    return "\\".join(attributes.text(tag)) or None


def _codes(attributes: Attributes, sequence: int) -> tuple[str, ...]:
    found = (attributes.text(_CODE_VALUE, path) for path in attributes.item_paths(sequence))
    return tuple(code for values in found for code in values)


def _has_pixel_data(attributes: Attributes) -> bool:
    # Float (7FE0,0008) and Double Float Pixel Data (7FE0,0009) are parametric maps, no films.
    pixels = attributes.pixels
    return pixels is not None and pixels.tag == _PIXEL_DATA and pixels.length != 0


def _pixel_aspect(attributes: Attributes) -> float:
    """Height over width, from (0028,0030), (0018,1164) or (0028,0034); each is vertical before horizontal."""
    for tag in (0x00280030, 0x00181164, 0x00280034):
        numbers = attributes.numbers(tag)
        if len(numbers) == 2 and all(0 < number < math.inf for number in numbers):
            return numbers[0] / numbers[1]
    return 1.0


def _age(attributes: Attributes) -> tuple[float | None, bool]:
    """Return years, and whether what the file says of them cannot all be true (PROTOCOLS §3)."""
    written = attributes.text(0x00101010)
    match = _AGE.fullmatch(written[0]) if written else None
    stated = float(match[1]) / _UNITS_PER_YEAR[match[2]] if match else None
    born, examined = _day(attributes, 0x00100030), _day(attributes, 0x00080020)
    reckoned = (examined - born).days / _DAYS_PER_YEAR if born and examined else None
    if written and stated is None and reckoned is None:
        return None, True
    years = reckoned if stated is None else stated
    if years is None:
        return None, False
    is_impossible = any(not 0 <= age <= OLDEST_YEARS for age in (stated, reckoned) if age is not None)
    is_clash = stated is not None and reckoned is not None and abs(stated - reckoned) > _CLASH_YEARS
    return years, is_impossible or is_clash


def _day(attributes: Attributes, tag: int) -> date | None:
    written = attributes.text(tag)
    match = _DATE.fullmatch(written[0]) if written else None
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def require_size(header: Header) -> tuple[int, int]:
    """Return ``(rows, columns)``; raise ``CorruptImage`` where the header lacks them."""
    if not header.rows or not header.columns:
        raise corrupt("Rows and Columns are missing or zero")
    return header.rows, header.columns
