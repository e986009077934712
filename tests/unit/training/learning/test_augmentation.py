"""Augmentation is seeded and mild, stays in range, and does only what the recipe asks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from training.learning.augmentation import augment
from training.recipe import AugmentationRecipe

EVERYTHING = AugmentationRecipe(
    degrees=7,
    shear=5,
    shift=0.04,
    height_shift=0.02,
    zoom=0.08,
    contrast=0.15,
    brightness=0.05,
    gamma=0.1,
    noise=0.02,
    corner=0.5,
    flip=0.5,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noisy_films(count: int) -> torch.Tensor:
    return torch.randint(1, 256, (count, 1, 32, 32), dtype=torch.uint8, generator=seeded())


def test_augmentation_is_seeded_and_stays_in_range() -> None:
    films = noisy_films(16)
    first = augment(films, EVERYTHING, seeded())
    assert torch.equal(first, augment(films, EVERYTHING, seeded()))
    assert not torch.equal(first, augment(films, EVERYTHING, seeded(1)))
    assert first.shape == films.shape
    assert first.min() >= 0
    assert first.max() <= 255


@pytest.mark.parametrize("changes", [{}, {"gamma": 0.1}, {"noise": 0.1}])
def test_what_lies_outside_of_the_film_stays_black(changes: dict[str, float]) -> None:
    films = torch.zeros((4, 1, 32, 32), dtype=torch.uint8)
    films[:, :, 8:24, 8:24] = 200
    recipe = AugmentationRecipe(degrees=7, shift=0.04, zoom=0.08, contrast=0.15, brightness=0.05, **changes)
    augmented = augment(films, recipe, seeded())
    assert (augmented[:, :, 0, 0] == 0).all()
    assert (augmented[:, :, 14:18, 14:18] > 100).float().mean() > 0.95


def test_a_film_is_mirrored_at_its_edges_only_if_the_recipe_says_so() -> None:
    films = torch.full((32, 1, 32, 32), 200, dtype=torch.uint8)
    moves = AugmentationRecipe(degrees=20, shift=0.3)
    assert (augment(films, moves, seeded()) == 0).any()
    assert (augment(films, moves.model_copy(update={"fill": "reflect"}), seeded()) > 199).all()


def drawn_within(limit: float, *, after: int) -> float:
    """Return the number that ``augment`` draws for one film after so many others, by the same generator."""
    generator = seeded()
    shares = [float(torch.rand((1, 1, 1, 1), generator=generator)) for _ in range(after + 1)]
    return (shares[-1] * 2 - 1) * limit


def test_mirrored_at_the_edge_means_that_the_edge_comes_twice() -> None:
    """Keras' ``reflect`` is scipy's: d c b a | a b c d | d c b a."""
    film = noisy_films(1)
    moved = augment(film, AugmentationRecipe(shift=0.5, fill="reflect"), seeded())
    across, down = (32 * drawn_within(0.5, after=number) for number in (2, 3))
    oracle = affine_transform(film[0, 0].double().numpy(), np.eye(2), offset=(down, across), order=1, mode="reflect")
    assert min(abs(across), abs(down)) > 1
    np.testing.assert_allclose(moved[0, 0].numpy(), oracle, atol=0.02)


def test_shear_is_that_of_keras() -> None:
    """Source of the matrix: ``apply_affine_transform`` of keras.preprocessing.image, on (row, column)."""
    film = noisy_films(1)
    moved = augment(film, AugmentationRecipe(shear=20), seeded())
    angle = drawn_within(math.radians(20), after=4)
    matrix = np.array([[1, -math.sin(angle)], [0, math.cos(angle)]])
    middle = np.full(2, 15.5)
    pixels = film[0, 0].double().numpy()
    oracle = affine_transform(pixels, matrix, offset=middle - matrix @ middle, order=1, mode="grid-constant")
    assert abs(math.degrees(angle)) > 1
    np.testing.assert_allclose(moved[0, 0].numpy(), oracle, atol=0.02)


def test_height_shift_moves_up_and_down_only() -> None:
    films = torch.zeros((32, 1, 32, 32), dtype=torch.uint8)
    films[:, :, 12:20, 12:20] = 200
    moved = augment(films, AugmentationRecipe(height_shift=0.3), seeded())
    torch.testing.assert_close(moved.sum(dim=2), films.float().sum(dim=2), rtol=1e-3, atol=0.1)
    middles = (moved.sum(dim=3) * torch.arange(32)).sum(dim=2) / moved.sum(dim=(2, 3))
    assert middles.std() > 2
    assert (middles - 15.5).abs().max() < 0.3 * 32


def test_a_recipe_of_before_there_was_shear_draws_the_numbers_it_drew_then() -> None:
    recipe = AugmentationRecipe(
        degrees=7, shift=0.04, contrast=0.15, zoom=0.1, gamma=0.1, noise=0.02, corner=0.5, flip=0.5
    )
    assert float(augment(noisy_films(4), recipe, seeded()).sum()) == pytest.approx(495880.56, rel=1e-5)


def test_no_augmentation_is_no_change() -> None:
    films = noisy_films(2)
    torch.testing.assert_close(augment(films, AugmentationRecipe(), seeded()), films.float(), atol=1e-2, rtol=0)


def test_augmentation_never_flips_unless_asked() -> None:
    films = torch.zeros((64, 1, 32, 32), dtype=torch.uint8)
    films[:, :, 12:20, 20:28] = 255

    def lean_right(recipe: AugmentationRecipe) -> float:
        moved = augment(films, recipe, seeded())
        is_right = moved[..., 16:].sum(dim=(1, 2, 3)) > moved[..., :16].sum(dim=(1, 2, 3))
        return float(is_right.float().mean())

    assert lean_right(AugmentationRecipe(degrees=45, shift=0.1, zoom=0.3)) == 1
    assert 0.3 < lean_right(AugmentationRecipe(flip=0.5)) < 0.7


def test_corner_blacks_out_at_most_a_quarter_of_each_side_and_only_at_corners() -> None:
    films = torch.full((200, 1, 32, 32), 200, dtype=torch.uint8)
    hidden = augment(films, AugmentationRecipe(corner=1.0), seeded()) == 0
    assert hidden.any(dim=0)[0, [0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert not hidden[..., 9:23, :].any()
    assert not hidden[..., 9:23].any()
    assert not (augment(films, AugmentationRecipe(), seeded()) == 0).any()


def test_gamma_moves_mid_gray_and_leaves_black_and_white() -> None:
    films = torch.tensor([0, 128, 255], dtype=torch.uint8).repeat_interleave(32)[:, None].expand(96, 96)
    films = films[None, None].repeat(8, 1, 1, 1)
    moved = augment(films, AugmentationRecipe(gamma=0.5), seeded())
    assert (moved[:, 0, 8, 8] == 0).all()
    assert (moved[:, 0, 88, 8] > 254).all()
    assert moved[:, 0, 48, 8].std() > 10
