"""The same film is found again after another JPEG and another size; other films of the same kind are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.image import GrayImage, Tensor
from model.phantom import chest_phantom
from model.preprocessing import PreprocessingSpec, preprocess
from training.datasets.duplicates import DUPLICATE_PIXELS, NEAR_BITS, near_pairs, perceptual_hash, pixel_digest


def tensor(pixels: NDArray[np.uint8]) -> Tensor:
    image = GrayImage(pixels=pixels, black=0.0, white=255.0)
    return preprocess(image, PreprocessingSpec(size=DUPLICATE_PIXELS))


def film(seed: int, pixels: int = 256) -> NDArray[np.uint8]:
    return np.rint(chest_phantom(seed, rows=pixels, columns=pixels) * 255).astype(np.uint8)


def distance(one: Tensor, other: Tensor) -> int:
    return int(np.bitwise_count(perceptual_hash(one) ^ perceptual_hash(other)).sum())


def test_equal_pixels_have_one_digest_and_other_films_another() -> None:
    assert pixel_digest(tensor(film(1))) == pixel_digest(tensor(film(1)))
    assert pixel_digest(tensor(film(1))) != pixel_digest(tensor(film(2)))


@pytest.mark.parametrize("seed", range(5))
def test_a_film_compressed_again_at_another_size_is_near(seed: int) -> None:
    original = film(seed)
    smaller = cv2.resize(original, (144, 144), interpolation=cv2.INTER_AREA)
    again = cv2.imdecode(cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_GRAYSCALE)
    assert distance(tensor(original), tensor(np.asarray(again, dtype=np.uint8))) <= NEAR_BITS


def test_every_near_pair_is_found_once() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, size=(60, 4), dtype=np.uint64)
    # Differences in one word alone and spread over all four, at the limit and one beyond.
    hashes[10] = hashes[3] ^ np.array([2**NEAR_BITS - 1, 0, 0, 0], dtype=np.uint64)
    hashes[11] = hashes[4] ^ np.array([0, 0, 0, 2 ** (NEAR_BITS + 1) - 1], dtype=np.uint64)
    hashes[59] = hashes[5] ^ np.array([1, 7, 0, 1], dtype=np.uint64)
    hashes[58] = hashes[5]
    rows = list(near_pairs(hashes))
    assert len(rows) == 60
    assert [pair for row in rows for pair in row] == [(3, 10), (5, 58), (5, 59), (58, 59)]
