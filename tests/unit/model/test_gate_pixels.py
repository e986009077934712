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


@pytest.mark.parametrize(("dtype", "lowest"), [(np.uint16, 0), (np.uint16, 60_000), (np.int16, -32_768)])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_borders_of_padding_are_black_wherever_its_value_lies(dtype: type, lowest: int, is_inverted: bool) -> None:
    """Among those of the film too, where neither the least nor the largest value tells what is lit."""
    strip = films.phantom_pixels(rows=100, columns=480, bits=12).astype(np.int64)
    padding = 2000
    strip[strip == padding] += 1
    film = np.full((480, 480), padding)
    film[190:290] = 4095 - strip if is_inverted else strip
    levels = (lowest, lowest + 4095)[:: -1 if is_inverted else 1]
    image = GrayImage(
        pixels=(film + lowest).astype(dtype), black=levels[0], white=levels[1], padding=(lowest + padding,) * 2
    )
    with pytest.raises(UnsuitableImage) as refusal:
        gate_image(image, Header(image_format=ImageFormat.DICOM, rows=480, columns=480))
    assert refusal.value.reason is Reason.ASPECT


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_contrast_is_that_of_the_hundredths_and_not_of_single_pixels(dtype: type, is_inverted: bool) -> None:
    pixels = films.phantom_pixels(bits=8).astype(np.int64) // 4
    image = film_of(pixels, dtype, is_inverted=is_inverted)
    gate_image(image, Header(image_format=ImageFormat.PNG, rows=pixels.shape[0], columns=pixels.shape[1]))
    lost = np.where(np.arange(pixels.size).reshape(pixels.shape) % 150 == 0, pixels, 32)
    flat = film_of(lost, dtype, is_inverted=is_inverted)
    with pytest.raises(UnsuitableImage) as refusal:
        gate_image(flat, Header(image_format=ImageFormat.PNG, rows=lost.shape[0], columns=lost.shape[1]))
    assert refusal.value.reason is Reason.BLANK


def film_of(levels: np.ndarray, dtype: type, *, is_inverted: bool) -> GrayImage:
    """Return levels of 0 to 63 as a film of this depth, its lowest value the lowest there is."""
    lowest = int(np.iinfo(dtype).min)
    stored = (63 - levels if is_inverted else levels) + lowest
    black, white = (lowest + 63, lowest) if is_inverted else (lowest, lowest + 63)
    return GrayImage(pixels=stored.astype(dtype), black=float(black), white=float(white))


@pytest.mark.parametrize("shape", [(7, 7), (5, 20), (20, 5)], ids=str)
def test_a_film_lit_in_fewer_rows_or_columns_than_there_are_fields_can_be_looked_at(shape: tuple[int, int]) -> None:
    gate(within_border(np.full(shape, 200, np.uint8), (64, 64)))
