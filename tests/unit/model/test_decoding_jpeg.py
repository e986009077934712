"""JPEG streams of every kind that libjpeg reads: whole ones come back, those that lack data never do."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest

from model.decoding.codecs import decode_jpeg
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
