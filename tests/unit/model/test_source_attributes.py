"""What results repeat of a film: names survive every character set, identity is verbatim or refused, nothing hurts."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_charset_files

from model.decoding.character_sets import decode_text, encodings_of
from model.decoding.inspect import inspect_header
from model.decoding.source_attributes import SourceAttributes, read_source_attributes
from model.errors import CorruptImage, ImageError, UnsuitableImage, UnsupportedFormat
from tests.support import films
from tests.support.shared_data import shared_data

NAMES = {
    "latin 1": ("ISO_IR 100", "Müller^Jürgen"),
    "utf-8": ("ISO_IR 192", "Wang^XiaoDong=王^小东="),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "katakana": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "gb18030": ("GB18030", "Wang^XiaoDong=王^小东"),
    "russian": ("ISO_IR 144", "Люкceмбypг"),
    "persian, with a joiner": ("ISO_IR 192", "حسین\u200cپور^علی"),
    "wide and hard spaces": ("ISO_IR 192", "山田\u3000太郎^A\u00a0B"),
    "plain": (None, "Phantom^Chest"),
}
# Character sets in files that come with pydicom.
CHARSET_FILES = sorted(Path(name) for name in get_charset_files("chr*.dcm") if "SQ" not in name)


def read(**attributes: Any) -> SourceAttributes:
    return read_source_attributes(films.dicom_film(rows=64, columns=64, **attributes))


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_in_their_character_set(name: str) -> None:
    character_set, patient = NAMES[name]
    source = read(SpecificCharacterSet=character_set, PatientName=patient, PatientID="4711 / B")
    assert source.patient_name.rstrip("=") == patient.rstrip("=")
    assert source.patient_id == "4711 / B"


@pytest.mark.parametrize("path", CHARSET_FILES, ids=lambda path: path.stem)
def test_names_are_those_that_pydicom_reads(path: Path) -> None:
    dataset = dcmread(path)
    terms = dataset.get("SpecificCharacterSet", "")
    encodings = encodings_of([terms] if isinstance(terms, str) else list(terms))
    value = dataset.get_item("PatientName").value
    assert decode_text(value.rstrip(b" "), encodings).rstrip("=") == str(dataset.PatientName).rstrip("=")


def test_everything_that_a_result_repeats_is_read() -> None:
    source = read(
        PatientBirthDate="19700102",
        StudyTime="101112.5",
        StudyID="S1",
        AccessionNumber="A1",
        StudyDescription="Thorax pa",
        ReferringPhysicianName="Haus^Gregory",
        TimezoneOffsetFromUTC="+0100",
        IssuerOfPatientID="HOSP",
        PatientOrientation=["L", "F"],
        Laterality="R",
        LossyImageCompression="01",
        LossyImageCompressionRatio="9.5",
        LossyImageCompressionMethod="ISO_10918_1",
    )
    assert (source.patient_birth_date, source.study_date, source.study_time) == ("19700102", "20260101", "101112.5")
    assert (source.study_id, source.accession_number, source.study_description) == ("S1", "A1", "Thorax pa")
    assert (source.referring_physician_name, source.utc_offset) == ("Haus^Gregory", "+0100")
    assert (source.issuer_of_patient_id, source.patient_age, source.patient_sex) == ("HOSP", "045Y", "F")
    assert (source.patient_orientation, source.laterality, source.body_part) == (("L", "F"), "R", "CHEST")
    assert (source.is_lossy, source.lossy_ratios, source.lossy_methods) == (True, ("9.5",), ("ISO_10918_1",))


def test_identifiers_are_those_of_the_header() -> None:
    payload = films.dicom_film(rows=64, columns=64)
    header, source = inspect_header(payload), read_source_attributes(payload)
    assert source.sop_class_uid == header.sop_class_uid
    assert source.sop_instance_uid == header.sop_instance_uid
    assert source.study_instance_uid == header.study_instance_uid


@pytest.mark.parametrize("syntax", [films.IMPLICIT, films.EXPLICIT, films.RLE, films.JPEG_LS])
def test_every_judged_encoding_says_the_same(syntax: str) -> None:
    assert read(transfer_syntax=syntax, PatientName="Ä^Ö", SpecificCharacterSet="ISO_IR 100").patient_name == "Ä^Ö"


def test_always_lossy_transfer_syntax_is_lossy_whatever_the_file_says() -> None:
    pixels = films.phantom_pixels(rows=64, columns=64, bits=8)
    assert read_source_attributes(films.dicom_film(pixels, transfer_syntax=films.JPEG_BASELINE)).is_lossy
    assert not read().is_lossy


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"StudyDate": "not a date"}, "study_date"),
        ({"StudyTime": "99"}, "study_time"),
        ({"PatientBirthDate": "19701399"}, "patient_birth_date"),
        ({"AccessionNumber": "A" * 17}, "accession_number"),
        ({"StudyDescription": "one\\two"}, "study_description"),
        ({"TimezoneOffsetFromUTC": "CET"}, "utc_offset"),
        ({"Laterality": "left"}, "laterality"),
        ({"PatientAge": "old"}, "patient_age"),
    ],
)
def test_what_is_not_legal_and_identifies_nobody_is_left_out(attributes: dict[str, str], field: str) -> None:
    assert getattr(read(**attributes), field) is None


def test_dates_and_times_of_older_editions_are_read() -> None:
    source = read(StudyDate="2026.01.02", StudyTime="10:11:12")
    assert (source.study_date, source.study_time) == ("20260102", "101112")


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientID": "1" * 65},
        {"PatientID": "1\\2"},
        {"PatientID": "1\n2"},
        {"PatientName": "N" * 65},
        {"PatientName": "a=b=c=d"},
        {"SeriesInstanceUID": None},
        {"StudyInstanceUID": None},
        {"StudyInstanceUID": "1.2.x"},
    ],
    ids=str,
)
def test_file_whose_patient_or_place_is_not_legal_is_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(CorruptImage):
        read(**attributes)


@pytest.mark.parametrize(
    ("terms", "value"),
    [
        (["ISO_IR 192"], b"M\xfcller"),
        (["ISO_IR 999"], b"M\xfcller"),
        (["ISO_IR 100"], b"Y\x1b$B;3ED"),
        (["", "ISO 2022 IR 87"], b"Y\x1b$B;3E"),
        (["", "ISO 2022 IR 87"], b"Y\x1bqED"),
        (["", "ISO 2022 IR 87"], b"\x1b"),
    ],
)
def test_text_that_is_not_in_its_character_set_is_refused_and_never_mended(terms: list[str], value: bytes) -> None:
    with pytest.raises(CorruptImage):
        decode_text(value, encodings_of(terms))


@given(st.binary(max_size=40), st.lists(st.sampled_from(["", "ISO_IR 100", "ISO 2022 IR 87", "GBK", "x"]), max_size=3))
def test_no_bytes_hurt_the_reader_of_text(value: bytes, terms: list[str]) -> None:
    with suppress(CorruptImage):
        decode_text(value, encodings_of(terms))


@pytest.mark.parametrize("spelling", ["ISO_IR_192", "ISO-IR 192", "ISO IR 192", "iso_ir 192"])
def test_misspelt_character_set_is_understood(spelling: str) -> None:
    payload = films.dicom_film(rows=64, columns=64, SpecificCharacterSet="ISO_IR 192", PatientName="王^小东")
    spelt = payload.replace(b"ISO_IR 192", spelling.encode())
    assert read_source_attributes(spelt).patient_name == "王^小东"


def hostile(body: bytes) -> bytes:
    """A film whose data set is these bytes."""
    payload = films.dicom_film(rows=64, columns=64, PixelData=None)
    (length,) = struct.unpack_from("<L", payload, 140)
    return payload[: 144 + length] + body


def long_element(tag: int, length: int) -> bytes:
    return struct.pack("<HH2s2xL", tag >> 16, tag & 0xFFFF, b"UT", length) + b"A" * length


@pytest.mark.parametrize(
    "make",
    [
        lambda: hostile(long_element(0x00100010, 2000)),
        lambda: hostile(long_element(0x00100020, 2) * 2),
        lambda: hostile(struct.pack("<HH2s2xL", 0x0010, 0x0010, b"UT", 2**31)),
        lambda: hostile(struct.pack("<HH2s2xL", 0x0010, 0x0010, b"UN", 2**32 - 1) + b"\0" * 16),
        lambda: films.dicom_film(rows=64, columns=64)[:200],
    ],
    ids=["long name", "identifier twice", "length beyond the file", "name as a sequence", "cut off"],
)
def test_hostile_file_gives_a_clear_error(make: Callable[[], bytes]) -> None:
    with pytest.raises(CorruptImage):
        read_source_attributes(make())


def test_attributes_inside_sequences_are_not_the_films_own() -> None:
    item = struct.pack("<HH2sH", 0x0010, 0x0020, b"LO", 4) + b"EVIL"
    sequence = struct.pack("<HH2s2xLHHL", 0x0008, 0x1140, b"SQ", len(item) + 8, 0xFFFE, 0xE000, len(item)) + item
    payload = films.dicom_film(rows=64, columns=64)
    (length,) = struct.unpack_from("<L", payload, 140)
    start = 144 + length
    assert read_source_attributes(payload[:start] + sequence + payload[start:]).patient_id == "PHANTOM"


@pytest.mark.parametrize("syntax", [films.DEFLATED, films.BIG_ENDIAN, films.VIDEO])
def test_transfer_syntax_that_is_not_judged_is_not_read_either(syntax: str) -> None:
    with pytest.raises(UnsuitableImage):
        read(transfer_syntax=syntax)


def test_raster_film_has_no_attributes() -> None:
    with pytest.raises(UnsupportedFormat):
        read_source_attributes(films.png_film())


def test_every_real_file_gives_attributes_or_a_clear_error() -> None:
    for path in sorted(shared_data("dicom").rglob("*")):
        if path.is_file():
            try:
                source = read_source_attributes(path)
            except ImageError:
                continue
            assert "\ufffd" not in source.patient_name + source.patient_id
