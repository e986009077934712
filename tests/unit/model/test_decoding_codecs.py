"""Frames of every judged transfer syntax: equal to independent decoders, and refused where they are not whole."""

from __future__ import annotations

import io
import struct
import tracemalloc
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.encaps import encapsulate

from model.decoding.codecs import decode_frame
from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.decoding.jpeg import decode_jpeg
from model.errors import CorruptImage, ImageError, Reason
from tests.support import films

LOSSLESS = {
    "rle": films.RLE,
    "jpeg 14": films.JPEG_LOSSLESS,
    "jpeg 14 sv1": films.JPEG_LOSSLESS_SV1,
    "jpeg-ls": films.JPEG_LS,
    "jpeg 2000": films.JPEG_2000_LOSSLESS,
    "htj2k": films.HTJ2K_LOSSLESS,
    "htj2k rpcl": films.HTJ2K_LOSSLESS_RPCL,
}
LOSSY = {
    "jpeg baseline": films.JPEG_BASELINE,
    "jpeg extended": films.JPEG_EXTENDED,
    "jpeg-ls near lossless": films.JPEG_LS_LOSSY,
    "jpeg 2000 lossy": films.JPEG_2000,
    "htj2k lossy": films.HTJ2K,
}
COMPRESSED = LOSSLESS | LOSSY
# 65 x 67: odd on both sides, so that no codec can hide behind its block size.
SIDES = {"rows": 65, "columns": 67}


def pixels_for(syntax: str) -> Any:
    return films.phantom_pixels(bits=8 if syntax == films.JPEG_BASELINE else 12, **SIDES)


def decoded(payload: bytes) -> NDArray[Any]:
    return decode(payload, inspect_header(payload)).pixels


@pytest.mark.parametrize("syntax", LOSSLESS.values(), ids=LOSSLESS.keys())
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_pixels_come_back_bit_for_bit(syntax: str, bits: int) -> None:
    pixels = films.phantom_pixels(bits=bits, **SIDES)
    whole = {"BitsStored": bits, "HighBit": bits - 1, "WindowCenter": str(2 ** (bits - 1)), "WindowWidth": str(2**bits)}
    np.testing.assert_array_equal(decoded(films.dicom_film(pixels, transfer_syntax=syntax, **whole)), pixels)


@pytest.mark.parametrize(
    ("syntax", "plugin"),
    [
        (films.RLE, "pylibjpeg"),
        (films.RLE, "pydicom"),
        (films.JPEG_LOSSLESS, "gdcm"),
        (films.JPEG_LOSSLESS_SV1, "gdcm"),
        (films.JPEG_LS, "gdcm"),
        (films.JPEG_2000_LOSSLESS, "pylibjpeg"),
        (films.JPEG_2000_LOSSLESS, "gdcm"),
        (films.HTJ2K_LOSSLESS, "pylibjpeg"),
        (films.HTJ2K_LOSSLESS_RPCL, "pylibjpeg"),
    ],
)
def test_lossless_pixels_equal_an_independent_decoder(syntax: str, plugin: str) -> None:
    payload = films.dicom_film(pixels_for(syntax), transfer_syntax=syntax)
    dataset = pydicom.dcmread(io.BytesIO(payload))
    dataset.pixel_array_options(decoding_plugin=plugin)
    np.testing.assert_array_equal(decoded(payload), dataset.pixel_array)


@pytest.mark.parametrize("syntax", LOSSY.values(), ids=LOSSY.keys())
def test_lossy_pixels_stay_close_and_never_wrap_around(syntax: str) -> None:
    pixels = pixels_for(syntax)
    pixels[20:40, 20:40] = pixels.max() if syntax == films.JPEG_BASELINE else 4095  # a codec overshoots at its edge
    distance = np.abs(decoded(films.dicom_film(pixels, transfer_syntax=syntax)).astype(int) - pixels)
    assert distance.max() < 0.1 * np.iinfo(pixels.dtype).max / (1 if pixels.dtype == np.uint8 else 16)


@pytest.mark.parametrize("syntax", COMPRESSED.values(), ids=COMPRESSED.keys())
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95, 0.995])
def test_truncated_frame_is_an_error_never_gray(syntax: str, share: float) -> None:
    pixels = pixels_for(syntax)
    frame = films.encode_frame(pixels, syntax)
    cut = frame[: int(len(frame) * share)]
    payload = films.dicom_film(pixels, transfer_syntax=syntax, frame=cut + b"\0" * (len(cut) % 2))
    with pytest.raises(CorruptImage) as refusal:
        decoded(payload)
    assert refusal.value.reason is Reason.DECODE_ERROR


@pytest.mark.parametrize(
    "syntax", [films.JPEG_BASELINE, films.JPEG_EXTENDED, films.JPEG_LOSSLESS, films.JPEG_LOSSLESS_SV1]
)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.995])
def test_truncated_frame_with_an_end_marker_is_an_error_never_gray(syntax: str, share: float) -> None:
    pixels = pixels_for(syntax)
    frame = films.encode_frame(pixels, syntax)
    cut = frame[: int(len(frame) * share)].rstrip(b"\xff") + b"\xff\xd9"
    payload = films.dicom_film(pixels, transfer_syntax=syntax, frame=cut)
    with pytest.raises(CorruptImage):
        decoded(payload)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_predictor_of_lossless_jpeg_is_read_whole_and_refused_cut(predictor: int, bits: int) -> None:
    pixels = films.phantom_pixels(bits=bits, **SIDES)
    frame = bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=bits, predictor=predictor))
    np.testing.assert_array_equal(decode_jpeg(frame), pixels)
    with pytest.raises(CorruptImage):
        decode_jpeg(frame[:-40].rstrip(b"\xff") + b"\xff\xd9")


@pytest.mark.parametrize("syntax", [films.EXPLICIT, films.IMPLICIT, films.RLE, films.JPEG_LOSSLESS_SV1])
def test_truncated_file_is_an_error(syntax: str) -> None:
    payload = films.dicom_film(pixels_for(syntax), transfer_syntax=syntax)
    header = inspect_header(payload)
    with pytest.raises(CorruptImage):
        decode(payload[:-100], header)


@pytest.mark.parametrize("syntax", COMPRESSED.values(), ids=COMPRESSED.keys())
def test_frame_in_several_fragments_is_joined(syntax: str) -> None:
    pixels = pixels_for(syntax)
    frame = films.encode_frame(pixels, syntax)
    payload = films.dicom_film(pixels, transfer_syntax=syntax)
    whole, split = encapsulate([frame]), encapsulate([frame], fragments_per_frame=3)
    assert payload.count(whole) == 1
    np.testing.assert_array_equal(decoded(payload.replace(whole, split)), decoded(payload))


def test_offset_table_of_two_frames_contradicts_a_single_frame() -> None:
    pixels = pixels_for(films.JPEG_LS)
    frame = films.encode_frame(pixels, films.JPEG_LS)
    payload = films.dicom_film(pixels, transfer_syntax=films.JPEG_LS)
    with pytest.raises(CorruptImage):
        decoded(payload.replace(encapsulate([frame]), encapsulate([frame, frame])))


@pytest.mark.parametrize("syntax", COMPRESSED.values(), ids=COMPRESSED.keys())
def test_frame_of_another_size_never_reaches_the_codec(syntax: str) -> None:
    huge = bytearray(films.encode_frame(pixels_for(syntax), syntax))
    if syntax == films.RLE:
        huge = bytearray(films.encode_frame(films.phantom_pixels(rows=99, columns=99), syntax))
    elif syntax.endswith((".90", ".91", ".201", ".202", ".203")):
        struct.pack_into(">2L", huge, 8, 60_000, 60_000)  # Xsiz, Ysiz
    else:
        frame_header = next(huge.index(bytes([0xFF, marker])) for marker in _SOF if bytes([0xFF, marker]) in huge)
        struct.pack_into(">2H", huge, frame_header + 5, 60_000, 60_000)
    with pytest.raises(CorruptImage):
        decoded(films.dicom_film(pixels_for(syntax), transfer_syntax=syntax, frame=bytes(huge)))


_SOF = (0xC0, 0xC1, 0xC3, 0xF7)


def test_rle_segment_of_more_than_the_film_is_never_unpacked() -> None:
    """Two bytes stand for 128: a film of 64 MiB would come to 4 GiB."""
    segment = b"\x81\x05" * 500_000
    frame = struct.pack("<16L", 1, 64, *[0] * 14) + segment
    tracemalloc.start()
    try:
        with pytest.raises(CorruptImage):
            decode_frame(frame, films.RLE, 100, 100, 1)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(frame)
    finally:
        tracemalloc.stop()


def test_colour_frame_in_a_gray_film_is_corrupt() -> None:
    gray = films.phantom_pixels(bits=8, **SIDES)
    frame = films.jpeg_film(np.stack([gray] * 3, axis=-1))
    with pytest.raises(CorruptImage):
        decoded(films.dicom_film(gray, transfer_syntax=films.JPEG_BASELINE, frame=frame))


def test_native_pixels_under_a_compressed_syntax_are_corrupt() -> None:
    explicit = films.dicom_film(pixels_for(films.EXPLICIT))
    lying = explicit.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0", 1)
    with pytest.raises(CorruptImage):
        decoded(lying)


@settings(derandomize=True, max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("syntax", COMPRESSED.values(), ids=COMPRESSED.keys())
def test_damaged_frames_raise_image_errors_only(syntax: str, data: st.DataObject) -> None:
    pixels = pixels_for(syntax)
    frame = bytearray(films.encode_frame(pixels, syntax))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    payload = films.dicom_film(pixels, transfer_syntax=syntax, frame=bytes(frame))
    try:
        image = decode(payload, inspect_header(payload))
    except ImageError:
        return
    assert image.pixels.shape == pixels.shape
