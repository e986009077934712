"""``preprocess``: geometry, scaling, rounding and determinism of what the network sees."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.image import GrayImage
from model.preprocessing import PreprocessingSpec, preprocess
from tests.support import films
from tests.support.exact import area_mean, exact_gray


def gray(pixels: NDArray[Any], black: float = 0.0, white: float = 255.0, pixel_aspect: float = 1.0) -> GrayImage:
    return GrayImage(pixels=pixels, black=black, white=white, pixel_aspect=pixel_aspect)


def test_square_film_fills_the_square() -> None:
    tensor = preprocess(gray(np.full((128, 128), 255, np.uint8)), PreprocessingSpec(size=64))
    assert (tensor.shape, tensor.dtype) == ((1, 64, 64), np.uint8)
    assert (tensor == 255).all()


@pytest.mark.parametrize(
    ("shape", "aspect", "rows", "columns"),
    [
        ((128, 64), 1.0, slice(0, 64), slice(16, 48)),
        ((64, 128), 1.0, slice(16, 48), slice(0, 64)),
        ((64, 128), 2.0, slice(0, 64), slice(0, 64)),
        ((128, 128), 0.5, slice(16, 48), slice(0, 64)),
        # 101 / 128 x 64 = 50.5, rounded to even: 50; 14 left over, 7 on each side
        ((101, 128), 1.0, slice(7, 57), slice(0, 64)),
        # 99 / 128 x 64 = 49.5, rounded to even: 50
        ((99, 128), 1.0, slice(7, 57), slice(0, 64)),
        # 98 / 128 x 64 = 49: 15 left over, 7 above and 8 below
        ((98, 128), 1.0, slice(7, 56), slice(0, 64)),
        ((30, 40), 1.0, slice(8, 56), slice(0, 64)),
    ],
)
def test_film_keeps_its_aspect_between_black_bars(
    shape: tuple[int, int], aspect: float, rows: slice, columns: slice
) -> None:
    tensor = preprocess(gray(np.full(shape, 255, np.uint8), pixel_aspect=aspect), PreprocessingSpec(size=64))
    expected = np.zeros((64, 64), np.uint8)
    expected[rows, columns] = 255
    np.testing.assert_array_equal(tensor[0], expected)


def test_halves_are_rounded_to_even() -> None:
    # Means of 2 x 2: 0.5, 1.5, 2.5 and 3.5
    tile = np.array([[0, 1, 1, 2, 2, 3, 3, 4]] * 2, np.uint8)
    tensor = preprocess(gray(np.tile(tile, (32, 8))), PreprocessingSpec(size=32))
    assert tensor[0, 0, :4].tolist() == [0, 2, 2, 4]


def test_black_above_white_inverts() -> None:
    pixels = films.phantom_pixels(rows=100, columns=100)
    upright = preprocess(gray(pixels, 0, 4095), PreprocessingSpec(size=64))
    inverted = preprocess(gray(pixels, 4095, 0), PreprocessingSpec(size=64))
    assert np.abs(upright.astype(int) + inverted - 255).max() <= 1


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.uint8, 0, 255),
        (np.uint16, 0, 4095),
        (np.uint16, 1000, 1100),
        (np.uint16, 0, 65535),
        (np.int16, -2048, 2047),
    ],
)
@pytest.mark.parametrize("size", [64, 96, 160])
def test_tensor_is_within_one_level_of_the_exact_area_mean(dtype: Any, low: float, high: float, size: int) -> None:
    film = films.chest_phantom(1, rows=300, columns=300)
    pixels = (low + film * (high - low)).astype(dtype)
    tensor = preprocess(gray(pixels, low, high), PreprocessingSpec(size=size))[0]
    exact = area_mean(exact_gray(gray(pixels, low, high)), size, size)
    assert np.abs(tensor - exact).max() <= 0.5 + 255 * 1e-5


def test_result_does_not_depend_on_the_number_of_threads() -> None:
    image = gray(films.phantom_pixels(rows=1111, columns=999), 0, 4095)
    threads = cv2.getNumThreads()
    try:
        tensors = []
        for count in (1, 2, 7):
            cv2.setNumThreads(count)
            tensors.append(preprocess(image, PreprocessingSpec(size=224)))
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(tensors[0], tensors[1])
    np.testing.assert_array_equal(tensors[0], tensors[2])


def test_preprocessing_leaves_the_image_alone() -> None:
    pixels = films.phantom_pixels(rows=80, columns=70)
    pixels.setflags(write=False)
    preprocess(gray(pixels, 0, 4095), PreprocessingSpec(size=64))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 300),
    columns=st.integers(1, 300),
    size=st.integers(32, 128),
    aspect=st.floats(0.05, 20),
)
def test_any_shape_fits(rows: int, columns: int, size: int, aspect: float) -> None:
    image = gray(np.full((rows, columns), 255, np.uint8), pixel_aspect=aspect)
    tensor = preprocess(image, PreprocessingSpec(size=size))
    assert tensor.shape == (1, size, size)
    shown_rows, shown_columns = np.nonzero(tensor[0] == 255)
    assert max(np.ptp(shown_rows), np.ptp(shown_columns)) == size - 1
