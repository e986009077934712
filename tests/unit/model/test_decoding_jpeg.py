"""JPEG streams of every kind that libjpeg reads: whole ones come back, those that lack data never do."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest

from model.decoding.jpeg import decode_jpeg, paints_missing_rows_gray
from model.errors import CorruptImage
from tests.support import films

END = b"\xff\xd9"
_FILM = films.phantom_pixels(rows=105, columns=107, bits=8)
_GRAIN = np.random.default_rng(0).normal(0, 6, _FILM.shape)
PIXELS = np.clip(_FILM + _GRAIN, 0, 255).astype(np.uint8)


def encoded(pixels: Any, *options: int) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80, *options])[1])


OPTIMIZED = (cv2.IMWRITE_JPEG_OPTIMIZE, 1)
PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTART, BLOCKS_OF_A_ROW = cv2.IMWRITE_JPEG_RST_INTERVAL, 14
FULL_COLOUR = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
COLOUR_PIXELS = np.stack([PIXELS] * 3, axis=-1)
WHOLE = {
    "sequential": encoded(PIXELS),
    "optimized": encoded(PIXELS, *OPTIMIZED),
    "constant": encoded(np.full_like(PIXELS, 128)),
    "colour": encoded(COLOUR_PIXELS, *FULL_COLOUR),
    "subsampled colour": encoded(COLOUR_PIXELS),
    "progressive": encoded(PIXELS, *PROGRESSIVE),
    "progressive colour": encoded(COLOUR_PIXELS, *PROGRESSIVE),
    "restart in every block": encoded(PIXELS, RESTART, 1),
    "restart in every row": encoded(PIXELS, RESTART, BLOCKS_OF_A_ROW),
    "progressive with restarts": encoded(PIXELS, *PROGRESSIVE, RESTART, 5),
}
every_kind = pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE.keys())


def restarts_of(whole: bytes) -> list[int]:
    return [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", whole)]


def scans_of(whole: bytes) -> list[int]:
    return [match.start() for match in re.finditer(rb"\xff\xda\0", whole)]


@every_kind
def test_whole_jpeg_decodes_as_libjpeg_alone_does(whole: bytes) -> None:
    np.testing.assert_array_equal(decode_jpeg(whole), imagecodecs.jpeg8_decode(whole))


@every_kind
def test_no_cut_behind_the_first_scan_header_is_painted_over(whole: bytes) -> None:
    first = scans_of(whole)[0] + 14
    last_byte_of_pixels = len(whole) - len(END) - 1
    for cut in {
        *np.linspace(first, last_byte_of_pixels, 40).astype(int),
        *range(last_byte_of_pixels - 8, len(whole) - 2),
    }:
        with pytest.raises(CorruptImage):
            decode_jpeg(whole[:cut].rstrip(b"\xff") + END)


@pytest.mark.parametrize("lost", [1, 3, 8, 9])
def test_missing_restart_intervals_are_noticed(lost: int) -> None:
    whole = WHOLE["restart in every row"]
    starts = restarts_of(whole)
    with pytest.raises(CorruptImage):
        decode_jpeg(whole[: starts[2]] + whole[starts[2 + lost] :])


def test_missing_last_restart_intervals_are_noticed() -> None:
    whole = WHOLE["restart in every block"]
    for start in restarts_of(whole)[::16]:
        with pytest.raises(CorruptImage):
            decode_jpeg(whole[:start] + END)


def test_data_missing_within_a_restart_interval_is_noticed() -> None:
    whole = WHOLE["restart in every row"]
    start = restarts_of(whole)[5]
    with pytest.raises(CorruptImage):
        decode_jpeg(whole[: start - 30].rstrip(b"\xff") + whole[start:])


@pytest.mark.parametrize("kind", ["progressive", "progressive colour"])
def test_progressive_jpeg_without_its_last_scans_is_noticed(kind: str) -> None:
    for start in scans_of(WHOLE[kind])[1:]:
        with pytest.raises(CorruptImage):
            decode_jpeg(WHOLE[kind][:start] + END)


@pytest.mark.parametrize("kind", ["progressive", "progressive colour"])
def test_progressive_jpeg_without_a_scan_in_between_is_noticed(kind: str) -> None:
    starts = scans_of(WHOLE[kind])
    for start, following in pairwise(starts):
        with pytest.raises(CorruptImage):
            decode_jpeg(WHOLE[kind][:start] + WHOLE[kind][following:])


def test_reserved_marker_within_a_scan_is_noticed() -> None:
    whole = WHOLE["sequential"]
    middle = (scans_of(whole)[0] + len(whole)) // 2
    with pytest.raises(CorruptImage):
        decode_jpeg(whole[:middle] + b"\xff\x01" + whole[middle:])


@pytest.mark.parametrize("kind", ["sequential", "restart in every row"])
def test_fill_bytes_before_a_marker_do_no_harm(kind: str) -> None:
    filled = re.sub(rb"\xff(?=[\xd0-\xd7\xd9])", b"\xff" * 5, WHOLE[kind])
    assert len(filled) > len(WHOLE[kind])
    np.testing.assert_array_equal(decode_jpeg(filled), decode_jpeg(WHOLE[kind]))


def test_a_million_restart_markers_end_as_a_corrupt_film() -> None:
    whole = WHOLE["sequential"]
    markers = bytes(range(0xD0, 0xD8))
    flood = b"".join(b"\xff" + markers[index : index + 1] for index in range(8)) * 130_000
    with pytest.raises(CorruptImage):
        decode_jpeg(whole[: -len(END)] + flood + END)


def test_scan_header_that_ends_early_is_corrupt() -> None:
    whole = WHOLE["sequential"]
    start = scans_of(whole)[0]
    with pytest.raises(CorruptImage):
        decode_jpeg(whole[:start] + b"\xff\xda\0\3\1" + END)


def lossless(pixels: Any, bits: int, predictor: int = 1) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=bits, predictor=predictor))


def twelve_bits(pixels: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, level=90, bitspersample=12))


def noise(bits: int, *, rows: int = 21, columns: int = 13) -> Any:
    values = np.random.default_rng(bits).integers(0, 2**bits, (rows, columns))
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


DEEP = {
    **{f"lossless {bits} bits": (lossless, noise(bits), bits) for bits in (8, 10, 12, 16)},
    **{
        f"lossless film of {bits} bits": (lossless, films.phantom_pixels(rows=23, columns=17, bits=bits), bits)
        for bits in (8, 12, 16)
    },
}


@pytest.mark.parametrize(("encode", "pixels", "bits"), DEEP.values(), ids=DEEP.keys())
@pytest.mark.parametrize("predictor", [1, 4, 7])
def test_every_cut_of_a_lossless_scan_is_noticed(encode: Any, pixels: Any, bits: int, predictor: int) -> None:
    whole = encode(pixels, bits, predictor)
    np.testing.assert_array_equal(decode_jpeg(whole), pixels)
    for cut in range(scans_of(whole)[0] + 10, len(whole) - len(END)):
        with pytest.raises(CorruptImage):
            decode_jpeg(whole[:cut].rstrip(b"\xff") + END)


def test_every_cut_of_a_twelve_bit_scan_is_noticed() -> None:
    whole = twelve_bits(noise(12))
    np.testing.assert_array_equal(decode_jpeg(whole), imagecodecs.jpeg8_decode(whole))
    for cut in range(scans_of(whole)[0] + 10, len(whole) - len(END)):
        with pytest.raises(CorruptImage):
            decode_jpeg(whole[:cut].rstrip(b"\xff") + END)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("shape", [(16, 16), (1, 40), (40, 1)])
def test_film_that_ends_in_the_gray_of_missing_data_is_whole(bits: int, shape: tuple[int, int]) -> None:
    """What a decoder paints for missing rows may also be a film's own last row."""
    pixels = noise(bits, rows=shape[0], columns=shape[1])
    pixels[shape[0] // 2 :] = 2 ** (bits - 1)
    for predictor in range(1, 8):
        np.testing.assert_array_equal(decode_jpeg(lossless(pixels, bits, predictor)), pixels)
    middle = np.full(shape, 2048, np.uint16)
    np.testing.assert_array_equal(decode_jpeg(twelve_bits(middle)), middle)


@pytest.mark.parametrize("rows", [65_499, 65_500])
def test_the_longest_film_that_a_header_can_state_is_whole(rows: int) -> None:
    pixels = noise(16, rows=rows, columns=1)
    np.testing.assert_array_equal(decode_jpeg(lossless(pixels, 16)), pixels)


def test_the_installed_libjpeg_tells_deep_films_that_lack_data_in_one_decode() -> None:
    assert paints_missing_rows_gray()


@pytest.mark.parametrize("whole", [lossless(noise(16), 16), twelve_bits(noise(12))], ids=["lossless", "12 bits"])
def test_deep_jpeg_without_its_end_marker_is_noticed(whole: bytes) -> None:
    with pytest.raises(CorruptImage):
        decode_jpeg(whole[: -len(END)])


@every_kind
def test_harmless_warnings_of_libjpeg_do_not_refuse_a_film(whole: bytes) -> None:
    extraneous = whole[: -len(END)] + b"\x12\x34\x56" + END
    np.testing.assert_array_equal(decode_jpeg(extraneous), imagecodecs.jpeg8_decode(whole))


@pytest.mark.parametrize("kind", ["sequential", "colour", "subsampled colour", "progressive", "restart in every row"])
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_reduced_jpeg_shows_the_means_of_its_blocks(kind: str, reduction: int) -> None:
    whole = WHOLE[kind]
    expected = imagecodecs.jpeg8_decode(whole).astype(np.float32)
    reduced = decode_jpeg(whole, reduction=reduction)
    rows, columns = -(-expected.shape[0] // reduction), -(-expected.shape[1] // reduction)
    assert reduced.shape[:2] == (rows, columns)
    # Without the last row and column, whose blocks are not full.
    full = expected[: (rows - 1) * reduction, : (columns - 1) * reduction]
    means = cv2.resize(full, (columns - 1, rows - 1), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced[: rows - 1, : columns - 1] - means).max() < 4
    assert np.abs(reduced[: rows - 1, : columns - 1] - means).mean() < 0.6


@pytest.mark.parametrize("kind", ["sequential", "progressive", "subsampled colour"])
def test_no_cut_of_a_reduced_jpeg_is_painted_over(kind: str) -> None:
    whole = WHOLE[kind]
    for cut in np.linspace(scans_of(whole)[0] + 14, len(whole) - len(END) - 1, 30).astype(int):
        with pytest.raises(CorruptImage):
            decode_jpeg(whole[:cut].rstrip(b"\xff") + END, reduction=4)


def test_deep_jpeg_is_never_reduced() -> None:
    pixels = noise(16)
    np.testing.assert_array_equal(decode_jpeg(lossless(pixels, 16), reduction=4), pixels)
