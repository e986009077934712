"""JPEG 2000 at a lower resolution: the film's own levels, never a guess, and exact where there is any doubt."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from model.decoding.codecs import decode_frame
from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.errors import CorruptImage
from model.image import GrayImage
from tests.support import films

SYNTAXES = {
    "lossless": films.JPEG_2000_LOSSLESS,
    "lossy": films.JPEG_2000,
    "htj2k": films.HTJ2K_LOSSLESS,
    "htj2k lossy": films.HTJ2K,
}
every_kind = pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
ROWS, COLUMNS = 160, 200


def reduced(pixels: Any, syntax: str, reduction: int) -> NDArray[Any]:
    rows, columns = pixels.shape
    frame = films.encode_frame(pixels, syntax)
    return decode_frame(frame, syntax, rows, columns, pixels.dtype.itemsize, reduction=reduction)


@every_kind
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_reduced_film_keeps_its_levels(syntax: str, bits: int, reduction: int) -> None:
    pixels = films.phantom_pixels(rows=ROWS, columns=COLUMNS, bits=bits)
    found = reduced(pixels, syntax, reduction)
    assert found.shape == (ROWS // reduction, COLUMNS // reduction)
    means = cv2.resize(pixels, found.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    assert np.abs(found - means).mean() < 0.03 * 2**bits
    assert np.corrcoef(found.ravel(), means.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_reduced_film_lies_where_the_film_does(reduction: int) -> None:
    """A ramp shows by how many pixels it has moved: its steps are known."""
    ramp = np.add.outer(np.arange(256) * 4, np.arange(256) * 8).astype(np.uint16)
    found = reduced(ramp, films.JPEG_2000_LOSSLESS, reduction)
    means = ramp.reshape(256 // reduction, reduction, 256 // reduction, reduction).mean(axis=(1, 3))
    inner = slice(2, -2)  # at the borders a wavelet mirrors the film
    assert np.abs(found[inner, inner] - means[inner, inner]).max() <= 1


@every_kind
@pytest.mark.parametrize("reduction", [2, 4])
def test_reduced_film_is_no_smoother_than_the_film(syntax: str, reduction: int) -> None:
    """Waves as long as four pixels of a tensor keep their height: a smoother film would score lower."""
    side, length = 512, 8 * reduction
    wave = 2048 + 1000 * np.sin(2 * np.pi * np.arange(side) / length)
    pixels = np.tile(np.rint(wave), (side, 1)).astype(np.uint16)
    found = reduced(pixels, syntax, reduction).astype(float)
    means = pixels.reshape(side // reduction, reduction, side // reduction, reduction).mean(axis=(1, 3))
    inner = slice(8, -8)
    assert 0.97 < found[inner, inner].std() / means[inner, inner].std() < 1.05


@every_kind
def test_size_that_pillow_rounds_the_other_way_is_decoded_exactly(syntax: str) -> None:
    pixels = films.phantom_pixels(rows=161, columns=201, bits=12)
    assert reduced(pixels, syntax, 2).shape == (81, 101)
    np.testing.assert_array_equal(reduced(pixels, syntax, 4), reduced(pixels, syntax, 1))


def test_more_reduction_than_a_codestream_has_levels_is_decoded_exactly() -> None:
    pixels = films.phantom_pixels(rows=64, columns=64, bits=12)
    frame = bytes(imagecodecs.jpeg2k_encode(pixels, reversible=True, codecformat="j2k", resolutions=2))
    found = decode_frame(frame, films.JPEG_2000_LOSSLESS, 64, 64, 2, reduction=8)
    np.testing.assert_array_equal(found, pixels)


@every_kind
@pytest.mark.parametrize("reduction", [2, 8])
def test_no_cut_of_a_reduced_film_is_painted_over(syntax: str, reduction: int) -> None:
    """Also where what is missing belongs to details that were not asked for."""
    pixels = films.phantom_pixels(rows=ROWS, columns=COLUMNS, bits=12)
    frame = films.encode_frame(pixels, syntax)
    for share in (0.3, 0.6, 0.9, 0.99, 0.999):
        cut = frame[: int(len(frame) * share)]
        for end in (b"", b"\xff\xd9"):
            with pytest.raises(CorruptImage):
                decode_frame(cut + end, syntax, ROWS, COLUMNS, 2, reduction=reduction)


@every_kind
def test_zeros_in_place_of_what_was_not_received_are_noticed(syntax: str) -> None:
    """OpenJPEG takes zeros for packets of blocks that hold nothing, and does not miss the end marker."""
    frame = films.encode_frame(films.phantom_pixels(rows=ROWS, columns=COLUMNS, bits=12), syntax)
    for received in np.linspace(len(frame) // 4, len(frame) - 2, 20).astype(int):
        with pytest.raises(CorruptImage):
            decode_frame(frame[:received] + bytes(len(frame) - received), syntax, ROWS, COLUMNS, 2)


@every_kind
@pytest.mark.parametrize("behind", [b"\0", b"\xff", b"\0" * 100], ids=["a zero", "a one", "zeros"])
def test_padding_behind_the_end_marker_does_no_harm(syntax: str, behind: bytes) -> None:
    pixels = films.phantom_pixels(rows=ROWS, columns=COLUMNS, bits=12)
    frame = films.encode_frame(pixels, syntax)
    expected = decode_frame(frame, syntax, ROWS, COLUMNS, 2)
    np.testing.assert_array_equal(decode_frame(frame + behind, syntax, ROWS, COLUMNS, 2), expected)


def test_tile_part_up_to_the_end_is_decoded_exactly() -> None:
    """Length 0 means "as far as the data go": a cut would not show at a lower resolution."""
    pixels = films.phantom_pixels(rows=ROWS, columns=COLUMNS, bits=12)
    frame = bytearray(films.encode_frame(pixels, films.JPEG_2000_LOSSLESS))
    struct.pack_into(">L", frame, frame.index(b"\xff\x90\0\x0a") + 6, 0)
    found = decode_frame(bytes(frame), films.JPEG_2000_LOSSLESS, ROWS, COLUMNS, 2, reduction=2)
    np.testing.assert_array_equal(found, pixels)


def film(**attributes: Any) -> GrayImage:
    payload = films.dicom_film(rows=ROWS, columns=COLUMNS, transfer_syntax=films.JPEG_2000_LOSSLESS, **attributes)
    return decode(payload, inspect_header(payload), reduction=4)


def test_film_says_how_much_it_was_reduced() -> None:
    image = film()
    assert (image.reduction, image.pixels.shape) == (4, (ROWS // 4, COLUMNS // 4))
    assert (image.black, image.white) == (0.0, 4095.0)


@pytest.mark.parametrize(
    "attributes",
    [
        {"PixelPaddingValue": 0},
        {"VOILUTFunction": "SIGMOID"},
        {"HighBit": 12},
        {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15},
    ],
    ids=["padding", "a curve", "bits of an overlay", "signed"],
)
def test_film_whose_pixels_are_no_plain_levels_is_decoded_exactly(attributes: dict[str, Any]) -> None:
    image = film(**attributes)
    assert (image.reduction, image.pixels.shape) == (1, (ROWS, COLUMNS))


def test_formats_without_resolutions_are_decoded_exactly() -> None:
    for syntax in (films.EXPLICIT, films.RLE, films.JPEG_LS, films.JPEG_LOSSLESS_SV1):
        payload = films.dicom_film(rows=ROWS, columns=COLUMNS, transfer_syntax=syntax)
        assert decode(payload, inspect_header(payload), reduction=4).reduction == 1
    png = films.png_film(rows=ROWS, columns=COLUMNS)
    assert decode(png, inspect_header(png), reduction=4).reduction == 1
