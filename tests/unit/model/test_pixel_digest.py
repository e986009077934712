"""The same object written by somebody else has the same digest; another picture, or another meaning of it, has not."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import warnings
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_dataset

from model.decoding import dicom_header, pixel_digest
from model.decoding.decode import WANTED_TAGS
from model.decoding.inspect import inspect_header
from model.decoding.pixel_digest import COMPARED_TAGS, digest_film
from model.decoding.transfer_syntaxes import JUDGED_TRANSFER_SYNTAXES, NATIVE
from model.errors import CorruptImage, ImageError, Reason, UnsuitableImage
from tests.support.films import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, JPEG_LOSSLESS_SV1, dicom_film, phantom_pixels
from tests.support.shared_data import shared_data


def real_files(*, native: bool) -> list[Path]:
    """Return the real files of one way to encode pixels that pydicom writes back without a fault of its own."""
    found = []
    for path in sorted(shared_data("dicom").glob("*/*")):
        try:
            header = inspect_header(path)
            digest_film(path)
        except ImageError:
            continue
        is_judged = header.transfer_syntax_uid in JUDGED_TRANSFER_SYNTAXES and header.has_pixel_data
        if is_judged and (header.transfer_syntax_uid in NATIVE) == native and path.stat().st_size < 4 * 1024**2:
            found.append(path)
    return found


def read(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        dataset.walk(lambda _, __: None)  # parses all of it: what is still raw is written back as it was
    return dataset


def written(dataset: Any, transfer_syntax: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.file_meta.TransferSyntaxUID = transfer_syntax
        dataset.preamble = b"\0" * 128
        buffer = io.BytesIO()
        implicit = transfer_syntax == IMPLICIT
        dcmwrite(buffer, dataset, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()


def with_undefined_lengths(dataset: Dataset) -> Dataset:
    """Mark every sequence and item to be written with a delimiter instead of a length."""
    for element in dataset.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
    return dataset


def with_group_lengths(dataset: Any) -> bytes:
    """Return an explicit file whose groups begin with the retired (gggg,0000), as old archives write them."""
    head = written(pydicom.dataset.FileDataset("", Dataset(), file_meta=dataset.file_meta), EXPLICIT)
    parts = [head]
    for group, elements in groupby(dataset.keys(), key=lambda tag: tag.group):
        part = Dataset({tag: dataset[tag] for tag in elements})
        body = DicomBytesIO()
        body.is_little_endian, body.is_implicit_VR = True, False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names in a group without the character set: they are not compared
            write_dataset(body, part)
        content = body.getvalue()
        parts += [struct.pack("<HH2sHI", group, 0, b"UL", 4, len(content)), content]
    return b"".join(parts)


def test_native_film_that_somebody_else_wrote_anew_is_the_same_film() -> None:
    compared = 0
    for path in real_files(native=True):
        expected = digest_film(path)
        try:
            variants = [
                written(read(path), IMPLICIT),
                written(read(path), EXPLICIT),
                written(with_undefined_lengths(read(path)), EXPLICIT),
                with_group_lengths(read(path)),
            ]
        except (ValueError, TypeError, AttributeError, NotImplementedError, OverflowError):
            continue  # what pydicom cannot write back, nobody could send
        for number, variant in enumerate(variants):
            assert digest_film(variant) == expected, (path.name, number)
        assert len(set(variants)) >= 3
        compared += 1
    assert compared >= 10


def test_compressed_film_in_other_fragments_and_with_another_offset_table_is_the_same_film() -> None:
    compared = 0
    for path in real_files(native=False):
        dataset = read(path)
        is_writable = "MediaStorageSOPInstanceUID" in dataset.file_meta
        if int(dataset.get("NumberOfFrames") or 1) != 1 or not is_writable:
            continue
        frames = list(generate_frames(dataset.PixelData, number_of_frames=1))
        for fragments, has_table in ((1, False), (1, True), (3, True)):
            if len(frames[0]) < 64:
                continue
            dataset.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=has_table)
            dataset["PixelData"].is_undefined_length = True
            assert digest_film(written(dataset, dataset.file_meta.TransferSyntaxUID)) == digest_film(path), path.name
            compared += 1
    assert compared >= 10


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT, JPEG_LOSSLESS_SV1])
def test_one_other_pixel_is_another_film(transfer_syntax: str) -> None:
    pixels = phantom_pixels()
    changed = pixels.copy()
    changed[100, 100] ^= 1
    same: dict[str, Any] = {"SOPInstanceUID": "1.2.3", "StudyInstanceUID": "1.2"}
    one, other = (digest_film(dicom_film(film, transfer_syntax=transfer_syntax, **same)) for film in (pixels, changed))
    assert one.pixels != other.pixels
    assert one.attributes == other.attributes


@pytest.mark.parametrize(
    "corrected",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"ViewPosition": "LL"},
        {"PatientAge": "007Y"},
        {"StudyInstanceUID": "1.2.9"},
        {"PatientID": "OTHER"},
        {"WindowWidth": "100"},
        {"RescaleSlope": "-1", "RescaleIntercept": "4095"},
        {"PresentationIntentType": "FOR PROCESSING"},
    ],
    ids=lambda corrected: next(iter(corrected)),
)
def test_same_pixels_seen_otherwise_or_of_somebody_else_are_another_film(corrected: dict[str, Any]) -> None:
    one, other = digest_film(dicom_film()), digest_film(dicom_film(**corrected))
    assert one.pixels == other.pixels
    assert one.attributes != other.attributes


@pytest.mark.parametrize("added", [{"PatientName": "Other^Name"}, {"AccessionNumber": "7"}, {"ViewPosition": "PA "}])
def test_what_neither_shows_nor_judges_the_film_is_not_compared(added: dict[str, Any]) -> None:
    assert digest_film(dicom_film(**added)) == digest_film(dicom_film())


def test_byte_that_pads_an_odd_number_of_pixels_is_not_compared() -> None:
    pixels = phantom_pixels(rows=65, columns=65, bits=8)
    one, other = (dicom_film(pixels, frame=pixels.tobytes() + pad) for pad in (b"\0", b" "))
    assert one != other
    assert digest_film(one) == digest_film(other)


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, JPEG_LOSSLESS_SV1])
def test_file_that_ends_within_its_pixels_has_no_digest(transfer_syntax: str, tmp_path: Path) -> None:
    whole = dicom_film(transfer_syntax=transfer_syntax)
    for cut in (4, 1000, len(whole) // 2):
        path = tmp_path / "cut.dcm"
        path.write_bytes(whole[:-cut])
        with pytest.raises(CorruptImage, match="the file ends within"):
            digest_film(path)


def test_native_syntax_with_fragments_and_the_other_way_round_have_no_digest() -> None:
    compressed, native = dicom_film(transfer_syntax=JPEG_LOSSLESS_SV1), dicom_film()
    for wrong in (
        compressed.replace(JPEG_LOSSLESS_SV1.encode(), EXPLICIT.encode().ljust(len(JPEG_LOSSLESS_SV1), b"\0")),
        native.replace(EXPLICIT.encode() + b"\0", b"1.2.840.10008.1.2.5\0"),
    ):
        with pytest.raises(CorruptImage, match="not encoded as their transfer syntax says"):
            digest_film(wrong)


@pytest.mark.parametrize("transfer_syntax", [DEFLATED, BIG_ENDIAN])
def test_data_set_of_a_syntax_that_is_not_judged_is_never_read(transfer_syntax: str) -> None:
    film = dicom_film(transfer_syntax=EXPLICIT)
    named = EXPLICIT.encode() + b"\0"
    other = transfer_syntax.encode() + b"\0" * (len(transfer_syntax) % 2)
    # Group length (0002,0000) is not read; the rest of the file stays what it is.
    lengthened = film.replace(struct.pack("<H", len(named)) + named, struct.pack("<H", len(other)) + other, 1)
    with pytest.raises(UnsuitableImage) as caught:
        digest_film(lengthened)
    assert caught.value.reason is Reason.TRANSFER_SYNTAX


def test_files_without_pixels_have_a_digest() -> None:
    assert digest_film(dicom_film(PixelData=None)) == digest_film(dicom_film(PixelData=None))
    assert digest_film(dicom_film(PixelData=None)).pixels != digest_film(dicom_film()).pixels


def test_large_film_takes_less_than_a_mebibyte(tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    path.write_bytes(dicom_film(np.zeros((4096, 2048), np.uint16)))
    digest_film(dicom_film())  # what is loaded once
    tracemalloc.start()
    try:
        digest_film(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1024**2


def test_everything_that_gate_and_decoder_ask_for_is_compared() -> None:
    assert WANTED_TAGS | dicom_header.WANTED_TAGS <= COMPARED_TAGS


def test_gateway_loads_no_codec_for_it() -> None:
    statement = f"import sys, {pixel_digest.__name__}; sys.exit('imagecodecs' in sys.modules)"
    subprocess.run([sys.executable, "-c", statement], check=True)
