"""``inspect_header``: what a file says of itself, read within bounds and without its pixels."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataelem import DataElement

from model.decoding.header import ImageFormat, with_claims
from model.decoding.inspect import inspect_header
from model.errors import CorruptImage, Reason, UnsupportedFormat
from tests.support import films

EXPLICIT_META = films.dicom_film(rows=64, columns=64, PixelData=None)


def dataset_start(payload: bytes) -> int:
    """Offset behind the file meta information, from its group length."""
    (length,) = struct.unpack_from("<L", payload, 140)
    return 144 + int(length)


def with_dataset(body: bytes) -> bytes:
    """Replace the data set of an explicit little-endian film."""
    return EXPLICIT_META[: dataset_start(EXPLICIT_META)] + body


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in (b"SQ", b"UN", b"OB", b"OW"):
        return head + b"\0\0" + struct.pack("<L", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def nested(depth: int) -> bytes:
    """``depth`` sequences of undefined length, each in the only item of the one before."""
    opening = struct.pack("<HH2s2xL", 0x0040, 0xA730, b"SQ", 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 2**32 - 1
    )
    closing = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return opening * depth + closing * depth


def test_dicom_header_says_what_the_gate_asks() -> None:
    payload = films.dicom_film(
        films.phantom_pixels(rows=70, columns=90),
        PixelSpacing=["0.2", "0.1"],
        PatientOrientation=["L", "F"],
        ViewPosition=" pa",
    )
    header = inspect_header(payload)
    assert header.image_format is ImageFormat.DICOM
    assert (header.rows, header.columns, header.bits_stored) == (70, 90, 12)
    assert (header.samples_per_pixel, header.number_of_frames, header.has_pixel_data) == (1, 1, True)
    assert header.transfer_syntax_uid == films.EXPLICIT
    assert header.sop_class_uid == films.CR_STORAGE
    assert header.sop_instance_uid is not None
    assert header.study_instance_uid is not None
    assert (header.modality, header.body_part, header.view_position) == ("CR", "CHEST", "PA")
    assert header.patient_orientation == ("L", "F")
    assert header.image_type == ("ORIGINAL", "PRIMARY")
    assert header.pixel_aspect == pytest.approx(2.0)
    assert (header.age_years, header.sex) == (45.0, "F")


def test_header_of_a_path_equals_header_of_its_bytes(tmp_path: Path) -> None:
    for name, payload in {"a.dcm": films.dicom_film(), "b.png": films.png_film(), "c.jpg": films.jpeg_film()}.items():
        (tmp_path / name).write_bytes(payload)
        assert inspect_header(tmp_path / name) == inspect_header(payload)


@pytest.mark.parametrize("syntax", [films.DEFLATED, films.BIG_ENDIAN, films.VIDEO, "1.2.3.4"])
def test_dataset_of_an_unjudged_transfer_syntax_is_not_touched(syntax: str) -> None:
    payload = films.dicom_film(transfer_syntax=syntax)
    header = inspect_header(payload[: dataset_start(payload)] + b"\xff" * 64)
    assert header.transfer_syntax_uid == syntax
    assert header.sop_class_uid == films.CR_STORAGE
    assert header.sop_instance_uid is not None
    assert (header.rows, header.modality, header.study_instance_uid) == (None, None, None)


def test_pixels_are_not_needed_to_read_a_header() -> None:
    payload = films.dicom_film(rows=256, columns=256)
    assert inspect_header(payload[: -256 * 256 * 2]) == inspect_header(payload)


@pytest.mark.parametrize("payload", [b"", b"\0" * 132, b"GIF89a", b"NIfTI", b"%PDF-1.7", b"\x89PNG\r\n"])
def test_unknown_bytes_are_an_unsupported_format(payload: bytes) -> None:
    with pytest.raises(UnsupportedFormat):
        inspect_header(payload)


@pytest.mark.parametrize("magic", [b"MZ\x90\0", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"#!/bin/sh"])
def test_preamble_that_makes_the_file_a_program_is_corrupt(magic: bytes) -> None:
    with pytest.raises(CorruptImage):
        inspect_header(films.dicom_film(preamble=magic.ljust(128, b"\0")))


def test_preamble_that_makes_the_file_a_tiff_is_allowed() -> None:
    assert inspect_header(films.dicom_film(preamble=b"II*\0\x10\0\0\0".ljust(128, b"\0"))).rows == 256


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID"])
@pytest.mark.parametrize("uid", ["1.2.x", "1..2", "1." * 33 + "1", "1.2\\1.3", "../../etc/passwd"])
def test_uid_that_is_none_is_corrupt(keyword: str, uid: str) -> None:
    tag = {"SOPInstanceUID": 0x00080018, "StudyInstanceUID": 0x0020000D}[keyword]
    body = element(tag, b"UI", uid.encode() + b"\0" * (len(uid) % 2))
    with pytest.raises(CorruptImage) as refusal:
        inspect_header(with_dataset(body))
    assert uid not in str(refusal.value)


def test_errors_do_not_quote_what_the_file_says() -> None:
    secret = "SECRET^PATIENT"
    payload = films.dicom_film(NumberOfFrames=DataElement(0x00280008, "LO", secret))
    with pytest.raises(CorruptImage) as refusal:  # a warning, which would quote it too, is an error in this suite
        inspect_header(payload)
    assert secret not in repr(refusal.value)


def test_sixteen_nested_sequences_are_read_and_seventeen_are_not() -> None:
    assert inspect_header(with_dataset(nested(16))).rows is None
    with pytest.raises(CorruptImage):
        inspect_header(with_dataset(nested(17)))


def test_a_hundred_thousand_nested_sequences_are_refused_at_once() -> None:
    payload = with_dataset(nested(100_000))
    began = time.process_time()
    with pytest.raises(CorruptImage):
        inspect_header(payload)
    assert time.process_time() - began < 5, "the walk must stop at its depth limit, not at the file's end"


def test_more_than_ten_thousand_elements_are_refused() -> None:
    few = b"".join(element(0x00110000 + number, b"LO", b"") for number in range(0x10, 0x10 + 9_000))
    assert inspect_header(with_dataset(few)).rows is None
    with pytest.raises(CorruptImage):
        inspect_header(with_dataset(few * 2))


def test_a_million_empty_items_cost_neither_time_nor_memory() -> None:
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 1_000_000
    payload = with_dataset(element(0x00540220, b"SQ", items))
    tracemalloc.start()
    with pytest.raises(CorruptImage):
        inspect_header(payload)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4_000_000


def test_long_elements_are_skipped_not_read(tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(with_dataset(element(0x00091010, b"OB", b"\0" * 40_000_000) + element(0x00280010, b"US", b"\1\0")))
    tracemalloc.start()
    assert inspect_header(path).rows == 1
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_wanted_element_of_absurd_length_is_corrupt() -> None:
    with pytest.raises(CorruptImage):
        inspect_header(with_dataset(element(0x00080060, b"UN", b"C" * 1_000_000)))


def test_attribute_that_occurs_twice_is_corrupt() -> None:
    with pytest.raises(CorruptImage):
        inspect_header(with_dataset(element(0x00080060, b"CS", b"CR") + element(0x00080060, b"CS", b"CT")))


def test_element_beyond_the_end_of_the_file_is_corrupt() -> None:
    with pytest.raises(CorruptImage):
        inspect_header(with_dataset(element(0x00080060, b"CS", b"CR")[:-1]))


def test_attributes_inside_sequences_are_not_those_of_the_film() -> None:
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 10) + element(0x00080060, b"CS", b"CT")
    body = element(0x00081140, b"SQ", item) + element(0x00200020, b"CS", b"L\\F ")
    header = inspect_header(with_dataset(body))
    assert (header.modality, header.patient_orientation) == (None, ("L", "F"))


def test_implicit_film_that_says_explicit_is_read_by_its_first_element() -> None:
    implicit = films.dicom_film(transfer_syntax=films.IMPLICIT)
    mixed = with_dataset(implicit[dataset_start(implicit) :])
    assert inspect_header(mixed).modality == "CR"


def test_float_pixel_data_is_no_film() -> None:
    header = inspect_header(with_dataset(element(0x7FE00008, b"OB", b"\0" * 8)))
    assert not header.has_pixel_data


@pytest.mark.parametrize(
    ("attributes", "years", "is_contradictory"),
    [
        ({"PatientAge": "030Y"}, 30.0, False),
        ({"PatientAge": "018M"}, 1.5, False),
        ({"PatientAge": None}, None, False),
        ({"PatientAge": "120Y"}, 120.0, False),
        ({"PatientAge": "121Y"}, 121.0, True),
        ({"PatientAge": "045Y", "PatientBirthDate": "19810101"}, 45.0, False),
        ({"PatientAge": "045Y", "PatientBirthDate": "19900101"}, 45.0, True),
        ({"PatientAge": None, "PatientBirthDate": "19860101"}, 40.0, False),
        ({"PatientAge": None, "PatientBirthDate": "1986.01.01"}, 40.0, False),
        ({"PatientAge": None, "PatientBirthDate": "19861340"}, None, False),
        ({"PatientAge": None, "PatientBirthDate": "19860101", "StudyDate": None}, None, False),
    ],
)
def test_age_comes_from_its_attribute_or_from_dates(
    attributes: dict[str, str | None], years: float | None, is_contradictory: bool
) -> None:
    header = inspect_header(films.dicom_film(rows=64, columns=64, **attributes))
    assert header.age_years == pytest.approx(years, abs=0.01)
    assert header.age_is_contradictory is is_contradictory


def test_png_header_states_size_and_depth() -> None:
    header = inspect_header(films.png_film(np.zeros((70, 90), np.uint16)))
    assert (header.image_format, header.rows, header.columns) == (ImageFormat.PNG, 70, 90)
    assert (header.bits_stored, header.samples_per_pixel) == (16, 1)


@pytest.mark.parametrize(
    ("depth", "colour", "interlace"), [(3, 0, 0), (16, 3, 0), (8, 1, 0), (4, 2, 0), (8, 0, 2), (0, 0, 0)]
)
def test_illegal_ihdr_is_corrupt_even_with_a_good_crc(depth: int, colour: int, interlace: int) -> None:
    body = b"IHDR" + struct.pack(">IIBBBBB", 64, 64, depth, colour, 0, 0, interlace)
    with pytest.raises(CorruptImage):
        inspect_header(b"\x89PNG\r\n\x1a\n\0\0\0\r" + body + struct.pack(">I", zlib.crc32(body)))


def test_damaged_ihdr_is_corrupt() -> None:
    payload = bytearray(films.png_film())
    payload[18] ^= 1
    with pytest.raises(CorruptImage):
        inspect_header(bytes(payload))


def test_jpeg_header_is_found_behind_other_segments() -> None:
    payload = films.jpeg_film(rows=70, columns=90)
    segment = b"\xff\xe1" + struct.pack(">H", 1002) + b"\xff\xc0" * 500
    header = inspect_header(payload[:2] + segment * 3 + b"\xff\xff\xff" + payload[2:])
    assert (header.image_format, header.rows, header.columns) == (ImageFormat.JPEG, 70, 90)
    assert (header.bits_stored, header.samples_per_pixel) == (8, 1)


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\0\1",
        b"\xff\xd8\xff\xda\0\2",
        b"\xff\xd8\xff\xe0\0\4ab0",
    ],
)
def test_jpeg_without_a_frame_header_is_corrupt(payload: bytes) -> None:
    with pytest.raises(CorruptImage) as refusal:
        inspect_header(payload)
    assert refusal.value.reason is Reason.DECODE_ERROR


def test_claims_fill_a_raster_header() -> None:
    header = with_claims(inspect_header(films.png_film()), view=" pa ", age_years=60, sex="f")
    assert (header.view_position, header.age_years, header.sex) == ("PA", 60, "F")
    assert not header.age_is_contradictory


def test_claim_of_an_age_that_nobody_reaches_is_contradictory() -> None:
    assert with_claims(inspect_header(films.png_film()), age_years=130).age_is_contradictory


def test_claims_do_not_outvote_a_dicom_header() -> None:
    header = inspect_header(films.dicom_film())
    assert with_claims(header, view="LL", age_years=3) == header


def test_missing_file_is_the_callers_fault_not_the_films(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inspect_header(tmp_path / "absent.dcm")
