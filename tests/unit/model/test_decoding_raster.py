"""PNG and JPEG films: depth, colour that is gray, transparency, orientation, damage."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.errors import CorruptImage, ImageError, Reason, UnsuitableImage
from model.image import GrayImage
from tests.support import films

FILM = films.phantom_pixels(rows=70, columns=90, bits=8)


def decoded(payload: bytes) -> GrayImage:
    return decode(payload, inspect_header(payload))


def png(depth: int, colour: int, rows: NDArray[np.uint8], *extra: tuple[bytes, bytes], interlace: int = 0) -> bytes:
    """Write a PNG by hand from packed rows (``(rows, bytes)``), chunks in ``extra`` before the pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    columns = rows.shape[1] * 8 // (depth * {0: 1, 3: 1, 4: 2}[colour])
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", columns, len(rows), depth, colour, 0, 0, interlace)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(content)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


def test_eight_bit_png_comes_back_as_it_is() -> None:
    image = decoded(films.png_film(FILM))
    np.testing.assert_array_equal(image.pixels, FILM)
    assert (image.black, image.white, image.pixel_aspect) == (0.0, 255.0, 1.0)


def test_sixteen_bit_png_comes_back_as_it_is() -> None:
    pixels = films.phantom_pixels(rows=70, columns=90, bits=16)
    image = decoded(films.png_film(pixels))
    np.testing.assert_array_equal(image.pixels, pixels)
    assert (image.black, image.white) == (0.0, 65535.0)


@pytest.mark.parametrize(
    ("depth", "packed", "shown"),
    [
        (1, 0b01000000, (0, 255, 0, 0)),
        (2, 0b00011011, (0, 85, 170, 255)),
        (4, 0x0F, (0, 255)),
    ],
)
def test_few_bits_are_spread_over_the_full_range(depth: int, packed: int, shown: tuple[int, ...]) -> None:
    image = decoded(png(depth, 0, np.full((2, 1), packed, np.uint8)))
    assert tuple(image.pixels[0, : len(shown)]) == shown
    assert image.white == 255.0


def test_gray_palette_is_resolved() -> None:
    palette = (b"PLTE", bytes([10, 10, 10, 200, 200, 200]))
    image = decoded(png(8, 3, np.array([[0, 1], [1, 0]], np.uint8), palette))
    np.testing.assert_array_equal(image.pixels, [[10, 200], [200, 10]])


def test_coloured_palette_is_photometric() -> None:
    palette = (b"PLTE", bytes([10, 10, 10, 200, 100, 100]))
    with pytest.raises(UnsuitableImage) as refusal:
        decoded(png(8, 3, np.array([[0, 1], [1, 0]], np.uint8), palette))
    assert refusal.value.reason is Reason.PHOTOMETRIC


def test_transparent_pixels_are_composited_over_black() -> None:
    pixels = np.array([[200, 255], [200, 128], [200, 0]], np.uint8).reshape(1, 6)
    # 200 x 128 / 255 = 100.4
    np.testing.assert_array_equal(decoded(png(8, 4, pixels)).pixels, [[200, 100, 0]])


@pytest.mark.parametrize("encode", [films.png_film, films.jpeg_film])
def test_rgb_that_is_gray_becomes_gray(encode: Any) -> None:
    image = decoded(encode(np.stack([FILM] * 3, axis=-1)))
    assert image.pixels.shape == FILM.shape
    assert np.abs(image.pixels.astype(int) - FILM).max() <= 12


@pytest.mark.parametrize("encode", [films.png_film, films.jpeg_film])
@pytest.mark.parametrize("marked", [slice(0, 70), slice(0, 10)])
def test_coloured_picture_is_photometric(encode: Any, marked: slice) -> None:
    """A tinted film, and a film with a coloured mark on it."""
    pixels = np.stack([FILM] * 3, axis=-1)
    pixels[marked, :10, 0] = 255 - pixels[marked, :10, 0] // 2
    pixels[marked, :10, 2] = 0
    with pytest.raises(UnsuitableImage) as refusal:
        decoded(encode(pixels))
    assert refusal.value.reason is Reason.PHOTOMETRIC


def test_cmyk_jpeg_is_photometric() -> None:
    payload = imagecodecs.jpeg8_encode(np.stack([FILM] * 4, axis=-1), colorspace="cmyk", outcolorspace="cmyk")
    with pytest.raises(UnsuitableImage) as refusal:
        decoded(bytes(payload))
    assert refusal.value.reason is Reason.PHOTOMETRIC


def test_twelve_bit_jpeg_uses_its_own_range() -> None:
    pixels = films.phantom_pixels(rows=70, columns=90, bits=12)
    payload = bytes(imagecodecs.jpeg8_encode(pixels, level=98, bitspersample=12))
    image = decoded(payload)
    assert image.white == 4095.0
    assert np.abs(image.pixels.astype(int) - pixels).max() < 60


def with_orientation(payload: bytes, orientation: int, order: str) -> bytes:
    magic = b"II*\0" if order == "<" else b"MM\0*"
    tiff = magic + struct.pack(f"{order}LHHHLHHL", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return payload[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + payload[2:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    # Where the marked corner, stored at row 0 and column 0, must be shown: TIFF 6.0, Orientation.
    [
        (1, (0, 0)),
        (2, (0, -1)),
        (3, (-1, -1)),
        (4, (-1, 0)),
        (5, (0, 0)),
        (6, (0, -1)),
        (7, (-1, -1)),
        (8, (-1, 0)),
        (9, (0, 0)),
    ],
)
def test_exif_orientation_is_undone(orientation: int, corner: tuple[int, int], order: str) -> None:
    pixels = np.zeros((72, 96), np.uint8)
    pixels[:8, :8] = 255
    image = decoded(with_orientation(films.jpeg_film(pixels), orientation, order))
    is_turned = 5 <= orientation <= 8
    assert image.pixels.shape == ((96, 72) if is_turned else (72, 96))
    assert image.pixels[corner] > 200
    others = {(0, 0), (0, -1), (-1, 0), (-1, -1)} - {corner}
    assert all(image.pixels[other] < 50 for other in others)


@pytest.mark.parametrize("encode", [films.png_film, films.jpeg_film])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95, 0.999])
def test_truncated_file_is_an_error_never_gray(encode: Any, share: float) -> None:
    payload = encode(FILM)
    with pytest.raises(CorruptImage):
        decoded(payload[: int(len(payload) * share)])


def test_thumbnail_does_not_make_a_truncated_jpeg_whole() -> None:
    thumbnail = films.jpeg_film(rows=16, columns=16)
    payload = films.jpeg_film(FILM)
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = payload[:2] + segment + payload[2:]
    assert decoded(whole).pixels.shape == FILM.shape
    with pytest.raises(CorruptImage):
        decoded(whole[:-400])


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm() -> None:
    payload = films.jpeg_film(FILM)
    np.testing.assert_array_equal(decoded(payload + b"appended by a camera").pixels, decoded(payload).pixels)


def test_header_of_another_file_is_noticed() -> None:
    with pytest.raises(CorruptImage):
        decode(films.png_film(FILM), inspect_header(films.png_film(FILM.T.copy())))


@settings(derandomize=True, max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("encode", [films.png_film, films.jpeg_film])
def test_damaged_files_raise_image_errors_only(encode: Any, data: st.DataObject) -> None:
    payload = bytearray(encode(FILM))
    for _ in range(data.draw(st.integers(1, 6))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = inspect_header(bytes(payload))
        if (header.rows or 0) * (header.columns or 0) > 1_000_000:
            return  # the gate's business
        decode(bytes(payload), header)
    except ImageError:
        return


@settings(derandomize=True, max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("syntax", [films.EXPLICIT, films.IMPLICIT])
def test_damaged_dicom_files_raise_image_errors_only(syntax: str, data: st.DataObject) -> None:
    payload = bytearray(films.dicom_film(rows=64, columns=64, transfer_syntax=syntax))
    for _ in range(data.draw(st.integers(1, 6))):
        payload[data.draw(st.integers(0, 1200))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    try:
        decode(bytes(payload[:cut]), inspect_header(bytes(payload[:cut])))
    except ImageError:
        return


@settings(derandomize=True, max_examples=200, deadline=None)
@given(content=st.binary(max_size=400), start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_arbitrary_bytes_raise_image_errors_only(content: bytes, start: bytes) -> None:
    try:
        decode(start + content, inspect_header(start + content))
    except ImageError:
        return


def test_decoding_from_a_path_equals_decoding_bytes(tmp_path: Any) -> None:
    for name, payload in {"a.png": films.png_film(FILM), "b.dcm": films.dicom_film()}.items():
        path = tmp_path / name
        path.write_bytes(payload)
        header = inspect_header(path)
        np.testing.assert_array_equal(decode(path, header).pixels, decode(payload, header).pixels)


def test_a_png_with_more_image_data_than_its_pixels_need_is_not_inflated() -> None:
    film = films.png_film(rows=96, columns=96)
    data = film.index(b"IDAT") - 4
    surplus = zlib.compress(bytes(64 * 1024**2), 9)
    chunk = struct.pack(">I", len(surplus)) + b"IDAT" + surplus + struct.pack(">I", zlib.crc32(b"IDAT" + surplus))
    with pytest.raises(CorruptImage, match="more image data"):
        decode(film[:data] + chunk + film[data:], inspect_header(film))


def test_a_png_of_noise_is_as_long_as_its_pixels_and_decodes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8)
    film = films.png_film(noise)
    assert (decode(film, inspect_header(film)).pixels == noise).all()


def _flushed_png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """Return a PNG of an encoder that flushes its deflate stream after every row, as streaming ones do."""
    packer = zlib.compressobj(0)
    data = b"".join(packer.compress(b"\0" + row.tobytes()) + packer.flush(zlib.Z_SYNC_FLUSH) for row in pixels)
    film = films.png_film(pixels)
    content = b"IDAT" + data + packer.flush()
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return film[: film.index(b"IDAT") - 4] + chunk + film[film.index(b"IEND") - 4 :]


@pytest.mark.parametrize("columns", [16, 300])
def test_a_png_that_was_flushed_after_every_row_decodes(columns: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2000, columns), dtype=np.uint8)
    film = _flushed_png(noise)
    assert (decode(film, inspect_header(film)).pixels == noise).all()


def test_what_follows_the_end_of_a_png_is_not_read_as_its_chunks() -> None:
    film = films.png_film(rows=96, columns=96)
    assert (
        decode(film + bytes(2_000_000), inspect_header(film)).pixels == decode(film, inspect_header(film)).pixels
    ).all()
