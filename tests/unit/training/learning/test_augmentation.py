"""Augmentation is seeded and mild, stays in range, and does only what the recipe asks."""

from __future__ import annotations

import pytest
import torch

from training.learning.augmentation import augment
from training.recipe import AugmentationRecipe

EVERYTHING = AugmentationRecipe(
    degrees=7, shift=0.04, zoom=0.08, contrast=0.15, brightness=0.05, gamma=0.1, noise=0.02, corner=0.5, flip=0.5
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
