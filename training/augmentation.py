"""Random, mild changes to tensors after ``preprocess``; training only, so that serving has nothing to repeat.

No flips: the heart is on the left, and flips cost about .03 AUC on these films (ML.md §E).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from training.recipe import AugmentationRecipe

_WHITE = 255.0


def augment(films: Tensor, recipe: AugmentationRecipe, generator: torch.Generator) -> Tensor:
    """Rotate, shift, zoom and re-expose each film by its own random amounts.

    ``films`` is ``(n, 1, s, s)`` in 0..255; the result is float32 of the same shape and range. What moves in from
    outside is black, like the letterbox. The same generator state gives the same films.
    """
    count = len(films)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle, scale = uniform(math.radians(recipe.degrees)), 1 + uniform(recipe.zoom)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # affine_grid's coordinates run from -1 to 1, so a shift by a share of the side is twice that share.
    shift_x, shift_y = 2 * uniform(recipe.shift), 2 * uniform(recipe.shift)
    rows = torch.stack([torch.stack([cos, -sin, shift_x], 1), torch.stack([sin, cos, shift_y], 1)], 1)
    gain, offset = 1 + uniform(recipe.contrast), uniform(recipe.brightness) * _WHITE
    grid = affine_grid(rows, list(films.shape), align_corners=False).to(films.device)
    moved = grid_sample(films.float(), grid, padding_mode="zeros", align_corners=False)
    gain, offset = (value.to(films.device).view(-1, 1, 1, 1) for value in (gain, offset))
    # Around mid-gray, and only where there is film: the letterbox must stay black.
    exposed = (moved - _WHITE / 2) * gain + _WHITE / 2 + offset
    return torch.where(moved > 0, exposed.clamp(0, _WHITE), moved)
