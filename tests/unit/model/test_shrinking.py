"""One pass over the stored pixels gives what windowing every pixel in double precision and averaging would give."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.image import GrayImage
from model.shrinking import shrink
from tests.support.exact import area_mean, exact_gray
from tests.support.films import chest_phantom

# Of the range, before anything is rounded to a gray level.
CLOSE = 1e-5 * 255


def film(dtype: Any, low: float, high: float, *, rows: int = 301, columns: int = 257, seed: int = 1) -> NDArray[Any]:
    """Return a phantom that fills ``low`` to ``high`` and is a fifth too long for it at both ends."""
    limits = np.iinfo(dtype)
    levels = low + (chest_phantom(seed, rows=rows, columns=columns) * 1.4 - 0.2) * (high - low)
    return np.clip(np.rint(levels), limits.min, limits.max).astype(dtype)


KINDS = {
    "8 bits": (np.uint8, 0, 255, None),
    "12 bits": (np.uint16, 0, 4095, None),
    "16 bits": (np.uint16, 0, 65535, None),
    "signed": (np.int16, -2048, 2047, None),
    "signed to its ends": (np.int16, -32768, 32767, None),
    "inverted": (np.uint16, 4095, 0, None),
    "between integers": (np.uint16, 99.5, 3000.25, None),
    "narrow and far from zero": (np.uint16, 60_000.3, 60_040.7, None),
    "narrow, inverted, negative": (np.int16, -20_000.1, -20_033.6, None),
    "narrower than two levels": (np.uint16, 1000.2, 1001.1, None),
    "wider than its depth": (np.uint8, -1000.5, 2000.5, None),
    "far wider than its depth": (np.uint16, -1e7, 1e7, None),
    "padded black": (np.uint16, 0, 4095, (0, 600)),
    "padded white": (np.uint16, 0, 4095, (3500, 65535)),
    "padded, inverted": (np.uint16, 4000.5, 10.25, (3900, 4095)),
    "padded by a value between others": (np.int16, -500, 500, (17, 17)),
    "padded, black beyond its depth": (np.uint8, -55.5, 200, (0, 40)),
}


def image_of(kind: str, **shape: int) -> GrayImage:
    dtype, black, white, padding = KINDS[kind]
    pixels = film(dtype, max(min(black, white), -40_000), min(max(black, white), 70_000), **shape)
    return GrayImage(pixels=pixels, black=black, white=white, padding=padding)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(224, 191), (64, 55), (301, 257), (7, 1), (300, 100)], ids=str)
def test_shrunk_film_equals_the_exact_one(kind: str, shape: tuple[int, int]) -> None:
    image = image_of(kind)
    shrunk = shrink(image, *shape)
    assert (shrunk.shape, shrunk.dtype) == (shape, np.float32)
    assert np.abs(shrunk - area_mean(exact_gray(image), *shape)).max() <= CLOSE


@pytest.mark.parametrize("kind", KINDS)
def test_shrunk_film_agrees_with_opencv(kind: str) -> None:
    image = image_of(kind, rows=640, columns=480)
    full = exact_gray(image).astype(np.float32)
    expected = cv2.resize(full, (100, 133), interpolation=cv2.INTER_AREA)
    assert np.abs(shrink(image, 133, 100) - expected).max() <= 1e-4 * 255


def test_large_film_equals_the_exact_one() -> None:
    image = GrayImage(pixels=film(np.uint16, 0, 65535, rows=3001, columns=2501), black=500.5, white=64000.25)
    for shape in ((512, 427), (64, 53), (2, 3)):
        assert np.abs(shrink(image, *shape) - area_mean(exact_gray(image), *shape)).max() <= CLOSE


@settings(derandomize=True, max_examples=150, deadline=None)
@given(data=st.data(), dtype=st.sampled_from([np.uint8, np.uint16, np.int16]))
def test_any_film_equals_the_exact_one(data: st.DataObject, dtype: Any) -> None:
    limits = np.iinfo(dtype)
    height, width = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    level = st.floats(limits.min - 100, limits.max + 100, width=32)
    black, white = data.draw(st.tuples(level, level).filter(lambda ends: abs(ends[0] - ends[1]) > 0.5))
    padding = data.draw(st.none() | st.tuples(*[st.integers(int(limits.min), int(limits.max))] * 2).map(sorted))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    pixels = rng.integers(limits.min, limits.max, (height, width), dtype=dtype, endpoint=True)
    padding = None if padding is None else (padding[0], padding[1])
    image = GrayImage(pixels=pixels, black=black, white=white, padding=padding)
    exact = area_mean(exact_gray(image), rows, columns)
    assert np.abs(shrink(image, rows, columns) - exact).max() <= CLOSE


def test_only_the_first_rows_and_columns_are_taken_where_that_is_asked_for() -> None:
    image = image_of("12 bits")
    part = GrayImage(pixels=np.ascontiguousarray(image.pixels[:200, :250]), black=image.black, white=image.white)
    np.testing.assert_array_equal(shrink(image, 50, 50, extent=(200, 250)), shrink(part, 50, 50))


def test_a_film_at_its_own_size_is_only_scaled() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(shrink(GrayImage(pixels=pixels, black=0.0, white=255.0), 16, 16), pixels)


@pytest.mark.parametrize("kind", ["8 bits", "12 bits", "signed", "padded black"])
def test_pixels_may_lie_anywhere(kind: str) -> None:
    """In a read-only payload, at an odd byte of it, turned over, or with other pixels between them."""
    image = image_of(kind)
    expected = shrink(image, 50, 40)
    content = b"\0" + image.pixels.tobytes()
    lying = np.frombuffer(content, image.pixels.dtype, image.pixels.size, 1).reshape(image.pixels.shape)
    turned = np.ascontiguousarray(image.pixels[::-1, ::-1])[::-1, ::-1]
    spread = np.repeat(image.pixels, 2, axis=1)[:, ::2]
    for pixels in (lying, turned, spread):
        moved = GrayImage(pixels=pixels, black=image.black, white=image.white, padding=image.padding)
        np.testing.assert_array_equal(shrink(moved, 50, 40), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shown_at_full_size_equals_the_exact_film(kind: str) -> None:
    image = image_of(kind)
    tolerance = 0.05 if abs(image.white - image.black) < 100 else 1e-4  # float32 far from zero, for the gate alone
    np.testing.assert_allclose(image.shown(), exact_gray(image) / 255, atol=tolerance)
