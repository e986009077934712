"""Histograms of oriented gradients as what an unlabelled film can teach (MaskFeat: Wei et al., CVPR 2022).

HOG with logistic regression beats plain networks on small collections (ML.md §E); a backbone that must predict it keeps
what it knows in its pooled features. The block form equals ``baselines.hog_features`` on films of 128 px.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

BLOCK_DIMENSIONS = 1764
PATCH_DIMENSIONS = 144
PATCHES = 4

_SIDE = 128
_ORIENTATIONS = 9
_CELLS = 16
_TINY = 1e-6


def cell_histograms(films: Tensor) -> Tensor:
    """Return gradient strength by orientation, ``(n, 16, 16, 9)``, one row a cell, of films ``(n, 1, s, s)`` 0..255."""
    gray = films.float()
    if gray.shape[-1] != _SIDE:
        gray = interpolate(gray, size=(_SIDE, _SIDE), mode="area")
    down, across = torch.gradient(gray[:, 0], dim=(1, 2))
    strength = torch.hypot(down, across)
    turn = (torch.atan2(down, across) % math.pi) / math.pi
    # A turn of a rounding error below 0 comes out of the remainder as a whole one, which is none.
    orientation = (turn * _ORIENTATIONS).long() % _ORIENTATIONS
    cell = torch.arange(_SIDE, device=gray.device) // (_SIDE // _CELLS)
    index = (cell[:, None] * _CELLS + cell[None, :]) * _ORIENTATIONS + orientation
    counts = torch.zeros((len(gray), _CELLS * _CELLS * _ORIENTATIONS), device=gray.device)
    counts.scatter_add_(1, index.flatten(1), strength.flatten(1))
    return counts.view(-1, _CELLS, _CELLS, _ORIENTATIONS)


def block_gradients(cells: Tensor) -> Tensor:
    """Return the whole film's normalised blocks ``(n, 1764)``: 8 x 8 cells in overlapping blocks of 2 x 2."""
    half = _CELLS // 2
    coarse = cells.view(-1, half, 2, half, 2, _ORIENTATIONS).sum(dim=(2, 4))
    corners = (coarse[:, :-1, :-1], coarse[:, :-1, 1:], coarse[:, 1:, :-1], coarse[:, 1:, 1:])
    blocks = torch.cat(corners, dim=3)
    return _unit(blocks, dim=3).flatten(1)


def patch_gradients(cells: Tensor) -> Tensor:
    """Return 4 x 4 patches of 4 x 4 cells each, normalised by patch, ``(n, 144, 4, 4)``."""
    side = _CELLS // PATCHES
    split = cells.view(-1, PATCHES, side, PATCHES, side, _ORIENTATIONS).permute(0, 2, 4, 5, 1, 3)
    patches = split.reshape(-1, PATCH_DIMENSIONS, PATCHES, PATCHES)
    return _unit(patches, dim=1)


def _unit(values: Tensor, *, dim: int) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(values, dim=dim, keepdim=True)
    return values / (length + _TINY)
