"""What the decoded pixels alone refuse: exchanged black and white, and a film that is a strip within its borders."""

from __future__ import annotations

import numpy as np
import pytest

from model.decoding.header import Header, ImageFormat
from model.errors import Reason, UnsuitableImage
from model.gate import gate_image
from model.gate.pixels import chest_likeness
from model.image import GrayImage
from tests.support import films


def gate(pixels: np.ndarray, *, black: float = 0.0, white: float = 255.0, pixel_aspect: float = 1.0) -> None:
    image = GrayImage(pixels=pixels, black=black, white=white, pixel_aspect=pixel_aspect)
    gate_image(image, Header(image_format=ImageFormat.PNG, rows=pixels.shape[0], columns=pixels.shape[1]))


def refusal_of(pixels: np.ndarray, **levels: float) -> Reason:
    with pytest.raises(UnsuitableImage) as refusal:
        gate(pixels, **levels)
    return refusal.value.reason


def within_border(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    framed = np.zeros(shape, dtype=pixels.dtype)
    top, left = (shape[0] - pixels.shape[0]) // 2, (shape[1] - pixels.shape[1]) // 2
    framed[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return framed


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(256, 256), (700, 560), (300, 420)], ids=str)
def test_upright_film_passes_and_its_negative_is_inverted(seed: int, shape: tuple[int, int]) -> None:
    pixels = films.phantom_pixels(seed, rows=shape[0], columns=shape[1], bits=8)
    gate(pixels)
    assert refusal_of(255 - pixels) is Reason.INVERTED
    assert refusal_of(pixels, black=255.0, white=0.0) is Reason.INVERTED


def test_film_that_says_it_is_inverted_passes() -> None:
    gate(255 - films.phantom_pixels(bits=8), black=255.0, white=0.0)


def test_collimated_film_passes() -> None:
    gate(within_border(films.phantom_pixels(bits=8), (400, 640)))


def test_strip_within_wide_borders_has_no_chest_aspect() -> None:
    strip = films.phantom_pixels(rows=100, columns=480, bits=8)
    assert refusal_of(within_border(strip, (480, 480))) is Reason.ASPECT
    assert refusal_of(within_border(strip.T, (480, 480))) is Reason.ASPECT


def test_pixels_that_are_not_square_are_measured_as_they_are() -> None:
    gate(within_border(films.phantom_pixels(rows=80, columns=400, bits=8), (400, 400)), pixel_aspect=2.0)


def test_likeness_of_a_flat_film_is_neither_of_both() -> None:
    assert chest_likeness(np.full((64, 64), 0.5, dtype=np.float32)) == 0.0
