"""The preview shows a film as a reader sees it, whatever its depth, polarity and pixel shape."""

from __future__ import annotations

import numpy as np
import pytest

from model.image import GrayImage
from model.preview import PREVIEW_SIDE, preview


def film(pixels: np.ndarray, *, black: float = 0.0, white: float = 255.0, pixel_aspect: float = 1.0) -> GrayImage:
    return GrayImage(pixels=pixels, black=black, white=white, pixel_aspect=pixel_aspect)


def test_a_small_film_of_8_bits_is_shown_pixel_for_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90), dtype=np.uint8)
    assert (preview(film(pixels)) == pixels).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_levels_between_black_and_white_become_gray_at_every_depth(dtype: type[np.generic]) -> None:
    pixels = np.array([[20, 60, 100, 120]] * 4, dtype=dtype)
    assert preview(film(pixels, black=20, white=120))[0].tolist() == [0, 102, 204, 255]


def test_an_inverted_film_is_shown_right() -> None:
    pixels = np.array([[0, 4095]] * 2, dtype=np.uint16)
    assert preview(film(pixels, black=4095, white=0))[0].tolist() == [255, 0]


def test_a_film_whose_levels_are_negative_is_shown_right() -> None:
    pixels = np.array([[-1000, 0, 1000]] * 2, dtype=np.int16)
    assert preview(film(pixels, black=-1000, white=1000))[0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("rows", "columns", "shape"),
    [
        (PREVIEW_SIDE, 300, (PREVIEW_SIDE, 300)),
        (PREVIEW_SIDE + 1, 300, ((PREVIEW_SIDE + 1) // 2, 150)),
        (300, 2 * PREVIEW_SIDE + 1, (100, (2 * PREVIEW_SIDE + 1) // 3)),
        (6000, 64, (750, 8)),
    ],
)
def test_a_larger_film_is_shrunk_by_a_whole_factor(rows: int, columns: int, shape: tuple[int, int]) -> None:
    assert preview(film(np.zeros((rows, columns), np.uint8))).shape == shape


def test_each_pixel_of_a_shrunk_film_is_the_mean_of_its_block() -> None:
    pixels = np.zeros((2 * PREVIEW_SIDE, 8), np.uint16)
    pixels[:2, :2] = [[10, 20], [30, 40]]
    assert preview(film(pixels))[:2, :2].tolist() == [[25, 0], [0, 0]]


@pytest.mark.parametrize(("pixel_aspect", "shape"), [(2.0, (400, 300)), (0.5, (100, 300))])
def test_pixels_that_are_not_square_are_made_square(pixel_aspect: float, shape: tuple[int, int]) -> None:
    assert preview(film(np.zeros((200, 300), np.uint8), pixel_aspect=pixel_aspect)).shape == shape


def test_no_side_exceeds_the_limit_however_the_pixels_are_shaped() -> None:
    for rows in range(600, 1100, 7):
        shown = preview(film(np.zeros((rows, 700), np.uint8), pixel_aspect=1.7))
        assert max(shown.shape) <= PREVIEW_SIDE
        assert shown.shape[0] / shown.shape[1] == pytest.approx(rows * 1.7 / 700, rel=0.01)
