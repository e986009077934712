"""PNG films of every filter and layout: what comes out is what libpng reads, and damage is refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.decoding.inspect import inspect_header
from model.decoding.png import decode_png
from model.errors import CorruptImage, ImageError
from tests.support import films
from tests.support.shared_data import shared_data

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
GRAY = 0
FILTERS: Final = range(5)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def predicted(row: bytes, above: bytes, step: int, kind: int) -> list[int]:
    """What PNG 9.2 subtracts from each byte of a row, written as the specification does."""
    found = []
    for index, up in enumerate(above):
        left, corner = (row[index - step], above[index - step]) if index >= step else (0, 0)
        estimate = left + up - corner
        distances = [abs(estimate - other) for other in (left, up, corner)]
        paeth = (left, up, corner)[distances.index(min(distances))]
        found.append((0, left, up, (left + up) // 2, paeth)[kind])
    return found


def filtered(pixels: NDArray[Any], kinds: Sequence[int]) -> bytes:
    rows = [row.tobytes() for row in pixels.astype(pixels.dtype.newbyteorder(">"))]
    step = pixels.dtype.itemsize
    pairs = pairwise([bytes(len(rows[0])), *rows])
    coded = b""
    for kind, (above, row) in zip(kinds, pairs, strict=True):
        estimates = predicted(row, above, step, kind)
        coded += bytes([kind]) + bytes((byte - guess) % 256 for byte, guess in zip(row, estimates, strict=True))
    return coded


def gray_png(pixels: NDArray[Any], data: bytes, *extra: bytes, pieces: int = 1) -> bytes:
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], pixels.dtype.itemsize * 8, GRAY, 0, 0, 0)
    length = -(-len(data) // pieces)
    parts = [chunk(b"IDAT", data[start : start + length]) for start in range(0, len(data), length)]
    return SIGNATURE + chunk(b"IHDR", header) + b"".join((*extra, *parts)) + chunk(b"IEND", b"")


def decoded(content: bytes) -> NDArray[Any]:
    return decode_png(content, inspect_header(content))


def noise(dtype: Any, rows: int = 11, columns: int = 23) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (rows, columns), dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", FILTERS)
def test_every_filter_is_undone(dtype: Any, kind: int) -> None:
    pixels = noise(dtype)
    content = gray_png(pixels, zlib.compress(filtered(pixels, [kind] * len(pixels))))
    np.testing.assert_array_equal(decoded(content), pixels)
    assert decoded(content).dtype == pixels.dtype


@settings(derandomize=True, max_examples=60, deadline=None)
@given(data=st.data())
def test_films_of_mixed_filters_come_out_as_libpng_reads_them(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    seed = data.draw(st.integers(0, 2**16))
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    kinds = data.draw(st.lists(st.sampled_from(FILTERS), min_size=shape[0], max_size=shape[0]))
    pieces = data.draw(st.integers(1, 4))
    content = gray_png(pixels, zlib.compress(filtered(pixels, kinds)), pieces=pieces)
    np.testing.assert_array_equal(decoded(content), pixels)
    np.testing.assert_array_equal(imagecodecs.png_decode(content), pixels)


@pytest.mark.parametrize(
    "extra",
    [
        (chunk(b"tEXt", b"Comment\0a film"),),
        (chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1))),
        (struct.pack(">I", 3) + b"tEXt" + b"a\0b" + b"\0\0\0\0",),  # a damaged chunk that may be ignored
    ],
    ids=["a comment", "gamma and pixel size", "a damaged comment"],
)
def test_chunks_beside_the_pixels_change_nothing(extra: tuple[bytes, ...]) -> None:
    pixels = noise(np.uint8)
    content = gray_png(pixels, zlib.compress(filtered(pixels, [1] * len(pixels))), *extra)
    np.testing.assert_array_equal(decoded(content), pixels)


def test_a_transparent_level_is_left_to_libpng() -> None:
    pixels = noise(np.uint8)
    content = gray_png(pixels, zlib.compress(filtered(pixels, [0] * len(pixels))), chunk(b"tRNS", b"\0\7"))
    assert decoded(content).shape == (*pixels.shape, 2)


def _wrong_checksum(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


PIXELS: Final = noise(np.uint8)
PLAIN: Final = filtered(PIXELS, [4] * len(PIXELS))
DAMAGED: Final[dict[str, Callable[[], bytes]]] = {
    "a row is missing": lambda: gray_png(PIXELS, zlib.compress(PLAIN[: -PIXELS.shape[1] - 1])),
    "a byte is missing": lambda: gray_png(PIXELS, zlib.compress(PLAIN[:-1])),
    "the data are cut": lambda: gray_png(PIXELS, zlib.compress(PLAIN)[:-20]),
    "no data": lambda: SIGNATURE + gray_png(PIXELS, b"x")[8:33] + chunk(b"IEND", b""),
    "a filter that there is not": lambda: gray_png(PIXELS, zlib.compress(bytes([5]) + PLAIN[1:])),
    "a chunk's checksum": lambda: _wrong_checksum(gray_png(PIXELS, zlib.compress(PLAIN)), -13),
    "a bit of the data": lambda: _wrong_checksum(gray_png(PIXELS, zlib.compress(PLAIN)), 80),
    "an unknown chunk that matters": lambda: gray_png(PIXELS, zlib.compress(PLAIN), chunk(b"ABCD", b"")),
    "no end": lambda: gray_png(PIXELS, zlib.compress(PLAIN))[:-12],
    "an end that states a length": lambda: _wrong_checksum(gray_png(PIXELS, zlib.compress(PLAIN)), -9),
    "half an end": lambda: gray_png(PIXELS, zlib.compress(PLAIN))[:-6],
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_png_is_corrupt(damaged: Callable[[], bytes]) -> None:
    with pytest.raises(CorruptImage):
        decoded(damaged())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_cut_of_a_png_is_painted_over(dtype: Any) -> None:
    content = films.png_film(noise(dtype))
    end = chunk(b"IEND", b"")
    for cut in range(content.index(b"IDAT"), len(content)):
        with pytest.raises(CorruptImage):
            decoded(content[:cut])
    for cut in range(content.index(b"IDAT"), len(content) - len(end)):
        with pytest.raises(CorruptImage):
            decoded(content[:cut] + end)


def test_every_real_png_comes_out_as_libpng_reads_it() -> None:
    compared = 0
    for path in sorted(shared_data("hostile").rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        if not content.startswith(SIGNATURE):
            continue
        try:
            header = inspect_header(content)
            if (header.rows or 0) * (header.columns or 0) > 4_000_000:
                continue
            pixels = decode_png(content, header)
        except ImageError:
            continue
        np.testing.assert_array_equal(pixels, imagecodecs.png_decode(content), err_msg=path.name)
        compared += 1
    assert compared >= 50
