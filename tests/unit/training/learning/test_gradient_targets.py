"""What pretraining predicts is what the HOG baseline sees."""

from __future__ import annotations

import numpy as np
import torch

from model.phantom import chest_phantom
from training.learning.gradient_targets import block_gradients, cell_histograms, patch_gradients
from training.statistics.baselines import hog_features


def films(size: int) -> torch.Tensor:
    drawn = [chest_phantom(seed, rows=size, columns=size, opacity=seed % 2) for seed in range(3)]
    return torch.from_numpy(np.stack([np.rint(film * 255).astype(np.uint8)[None] for film in drawn]))


def test_whole_film_targets_equal_the_features_of_the_baseline() -> None:
    found = block_gradients(cell_histograms(films(128))).numpy()
    np.testing.assert_allclose(found, hog_features([films(128).numpy()]), atol=1e-5)


def test_larger_films_are_averaged_down_first() -> None:
    assert block_gradients(cell_histograms(films(256))).shape == (3, 1764)


def test_patches_hold_the_cells_of_their_own_corner_at_length_one() -> None:
    half = films(128).clone()
    half[..., 64:] = 0
    patches = patch_gradients(cell_histograms(half))
    assert patches.shape == (3, 144, 4, 4)
    assert (patches[..., 3] == 0).all()
    torch.testing.assert_close(patches[..., 0].norm(dim=1), torch.ones(3, 4), atol=1e-3, rtol=0)
