"""Random, mild changes to tensors after ``preprocess``; training only, so that serving has nothing to repeat.

Flips are off unless a recipe asks: the heart is on the left, and flips cost about .03 AUC on these films (ML.md §E).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from training.recipe import AugmentationRecipe

_WHITE = 255.0
# Burned-in letters such as PORTABLE sit within a quarter of the side from a corner.
_LARGEST_CORNER = 0.25


def augment(films: Tensor, recipe: AugmentationRecipe, generator: torch.Generator) -> Tensor:
    """Rotate, shift, shear, zoom and re-expose each film by its own random amounts; black out corners; add noise; flip.

    ``films`` is ``(n, 1, s, s)`` in 0..255 on the generator's device; the result is float32 of the same shape and
    range. What moves in from outside is black, like the letterbox, or the film mirrored at its edge where the recipe
    says so. The same generator state gives the same films.
    """
    draw = _Draw(len(films), generator)
    changed = _moved(films.float(), recipe, draw)
    exposed = _exposed(changed, recipe, draw)
    if recipe.noise:
        noise = torch.randn(films.shape, generator=generator, device=generator.device)
        exposed = exposed + noise * draw.share() * recipe.noise * _WHITE
    # Only where there is film: the letterbox must stay black.
    changed = torch.where(changed > 0, exposed.clamp(0, _WHITE), changed)
    if recipe.corner:
        changed = changed.masked_fill(_corner(films.shape[-1], draw) & (draw.share() < recipe.corner), 0)
    if recipe.flip:
        changed = torch.where(draw.share() < recipe.flip, changed.flip(-1), changed)
    return changed


class _Draw:
    """Random numbers, one a film, as ``(n, 1, 1, 1)``."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self._count, self._generator = count, generator

    def share(self) -> Tensor:
        """Uniform in 0..1."""
        return torch.rand((self._count, 1, 1, 1), generator=self._generator, device=self._generator.device)

    def within(self, limit: float) -> Tensor:
        """Uniform in -limit..limit."""
        return (self.share() * 2 - 1) * limit


def _moved(films: Tensor, recipe: AugmentationRecipe, draw: _Draw) -> Tensor:
    angle, scale = draw.within(math.radians(recipe.degrees)).flatten(), 1 + draw.within(recipe.zoom).flatten()
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    turned = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    # affine_grid's coordinates run from -1 to 1, so a shift by a share of the side is twice that share.
    shift_x, shift_y = 2 * draw.within(recipe.shift).flatten(), 2 * draw.within(recipe.shift).flatten()
    if recipe.height_shift:
        shift_y = shift_y + 2 * draw.within(recipe.height_shift).flatten()
    if recipe.shear:
        turned = turned @ _sheared(draw.within(math.radians(recipe.shear)).flatten())
    rows = torch.cat([turned, torch.stack([shift_x, shift_y], 1)[:, :, None]], dim=2)
    grid = affine_grid(rows, list(films.shape), align_corners=False)
    padding = "reflection" if recipe.fill == "reflect" else "zeros"
    return grid_sample(films, grid, padding_mode=padding, align_corners=False)


def _sheared(angle: Tensor) -> Tensor:
    """Return matrices ``(n, 2, 2)`` on (x, y) that shear films up and down, as ``shear_range`` of Keras does."""
    nothing, whole = torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([torch.stack([torch.cos(angle), nothing], 1), torch.stack([-torch.sin(angle), whole], 1)], dim=1)


def _exposed(films: Tensor, recipe: AugmentationRecipe, draw: _Draw) -> Tensor:
    gain, offset = 1 + draw.within(recipe.contrast), draw.within(recipe.brightness) * _WHITE
    if recipe.gamma:
        films = (films / _WHITE).clamp(0, 1).pow(1 + draw.within(recipe.gamma)) * _WHITE
    # Around mid-gray, so that contrast alone leaves the mean where it is.
    return (films - _WHITE / 2) * gain + _WHITE / 2 + offset


def _corner(side: int, draw: _Draw) -> Tensor:
    """Return masks ``(n, 1, s, s)`` of one corner rectangle a film, sides up to a quarter of the film's."""
    height, width = draw.share() * _LARGEST_CORNER * side, draw.share() * _LARGEST_CORNER * side
    places = torch.arange(side, device=height.device)
    down, across = places.view(1, 1, -1, 1), places.view(1, 1, 1, -1)
    is_low, is_right = draw.share() < 0.5, draw.share() < 0.5
    rows = torch.where(is_low, side - 1 - down, down) < height
    columns = torch.where(is_right, side - 1 - across, across) < width
    return rows & columns
