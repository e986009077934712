"""The graph's ``embedding``: how a film looks from afar, in the directions in which chest films do not differ.

A film is described by its gray levels and edges on a coarse grid, and projected on ``dimensions`` directions; serving
measures the Mahalanobis distance there (``model.gate.EmbeddingGate``). Needs the tensor alone, so that neither
retraining nor int8 moves the gate. Why not the network's own features: docs/decisions/0008-gate.md. Used by ``export``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from sklearn.model_selection import KFold
from torch import Tensor, nn
from torch.nn import functional

from model import image
from model.bundle import GateArrays
from model.gate import EmbeddingGate
from model.gate.pixels import is_inverted
from training.errors import DatasetError
from training.graphs.gate_films import counterfeits, variations
from training.recipe import GateRecipe
from training.statistics.metrics import Floats

_SEED = 2017
_WHITE = 255.0
# Pixels a side that a film is averaged to before anything else: a film that went through 64 pixels answers the same.
_SIDE = 32
_DIRECTIONS = 8
_EDGE_FIELD, _GRAY_FIELD = 5, 2
# Gray levels added to a film's deviation, so that a flat film's noise is not blown up to anatomy.
_LEAST_DEVIATION = 8.0
# Keeps the root of an empty field's edges differentiable and its spread finite.
_LEAST_EDGE = 1e-4
_FOLDS = 5
# Deviations beyond which a counterfeit is only "far": further ones shall not outweigh the near ones.
_FARTHEST = 20.0
_LEAST_SPREAD = 1e-6
_BATCH = 256
# Among a film and its variations: the film itself, and the film through 64 pixels.
_AS_FILMS_ARRIVE = (0, 1)


class FilmFields(nn.Module):
    """Gray levels in 16 x 16 and edges of eight directions in 6 x 6 fields, contrast taken out."""

    area: Tensor
    edges: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("area", _area_weights(size))
        self.register_buffer("edges", _edge_kernels())

    def forward(self, film: Tensor) -> Tensor:
        """Return ``(n, 544)`` float32 of films ``(n, 1, s, s)`` uint8."""
        small = self.area @ film.float() @ self.area.T
        centred = small - small.mean(dim=(2, 3), keepdim=True)
        deviation = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
        flat = centred / (deviation + _LEAST_DEVIATION)
        gray = functional.avg_pool2d(flat, _GRAY_FIELD)
        strength = functional.avg_pool2d(functional.relu(functional.conv2d(flat, self.edges)), _EDGE_FIELD)
        return torch.cat([gray.flatten(1), (strength + _LEAST_EDGE).sqrt().flatten(1)], dim=1)


class Embedding(nn.Module):
    """Films ``(n, 1, s, s)`` uint8 in, embeddings ``(n, d)`` float32 out; for the graph, beside the head."""

    def __init__(self, size: int, centre: Floats, directions: Floats) -> None:
        super().__init__()
        self.fields = FilmFields(size)
        self.project = nn.Linear(*directions.shape)
        self.project.weight = nn.Parameter(torch.from_numpy(directions.T).float(), requires_grad=False)
        self.project.bias = nn.Parameter(torch.from_numpy(-centre @ directions).float(), requires_grad=False)

    def forward(self, film: Tensor) -> Tensor:
        """Return embeddings ``(n, d)``."""
        embedding: Tensor = self.project(self.fields(film))
        return embedding


@dataclass(frozen=True, kw_only=True)
class FittedGate:
    """What ``export`` puts into the graph, into ``gate.npz`` and into the manifest; ``films`` counts films."""

    embedding: Embedding
    arrays: GateArrays
    limit: float
    films: int


@dataclass(frozen=True, kw_only=True)
class _Described:
    """Fields of each film: of the film and its variations ``(n, v, 544)``, of its counterfeits ``(n, c, 544)``."""

    chests: Floats
    counterfeits: Floats

    def at(self, rows: NDArray[np.intp]) -> _Described:
        return _Described(chests=self.chests[rows], counterfeits=self.counterfeits[rows])


@dataclass(frozen=True, kw_only=True)
class _Projected:
    """A gate without its limit."""

    centre: Floats
    directions: Floats
    arrays: GateArrays

    def distances(self, fields: Floats) -> Floats:
        # The limit plays no part in a distance.
        gate = EmbeddingGate(mean=self.arrays.mean, covariance=self.arrays.covariance, limit=1.0)
        return gate.distances((fields - self.centre) @ self.directions)


def fit_gate(films: image.Tensor, recipe: GateRecipe) -> FittedGate:
    """Fit embedding, mean, covariance and limit on chest films ``(n, 1, s, s)`` uint8 that the network learned from.

    Mean and covariance are those of the films and of their variations (``gate_films``). The limit is the recipe's
    percentile of the distances of the films, and of the films through 64 pixels, cross-fitted in five blocks of
    consecutive films (a patient's films are neighbours): films that helped to fit lie nearer than new ones do, so
    their own percentile would refuse too many. The same films give the same gate.

    Films that look inverted are left out: serving refuses them before it asks how near they are, and one of them
    counts for many where a limit rests on the farthest films of a few hundred.

    Raises
    ------
    DatasetError
        If there are fewer than ten films.
    """
    films = films[[not is_inverted(film[0].astype(np.float32) / _WHITE) for film in films]]
    if len(films) < 2 * _FOLDS:
        raise DatasetError(f"the gate is fitted on at least {2 * _FOLDS} films, there are {len(films)} to learn from")
    described = _describe(films)
    distances = [
        _project(described.at(near), recipe.dimensions).distances(described.chests[far, shown])
        for near, far in KFold(_FOLDS).split(films)
        for shown in _AS_FILMS_ARRIVE
    ]
    projected = _project(described, recipe.dimensions)
    return FittedGate(
        embedding=Embedding(films.shape[-1], projected.centre, projected.directions).eval(),
        arrays=projected.arrays,
        limit=float(np.percentile(np.concatenate(distances), recipe.percentile)),
        films=len(films),
    )


def _describe(films: image.Tensor) -> _Described:
    fields = FilmFields(films.shape[-1])
    chests = [_fields_of(fields, version) for version in (films, *variations(films, seed=_SEED))]
    wrong = [_fields_of(fields, version) for version in counterfeits(films, seed=_SEED)]
    return _Described(chests=np.stack(chests, axis=1), counterfeits=np.stack(wrong, axis=1))


@torch.inference_mode()
def _fields_of(fields: FilmFields, films: image.Tensor) -> Floats:
    blocks = [fields(torch.from_numpy(films[start : start + _BATCH])) for start in range(0, len(films), _BATCH)]
    return np.asarray(torch.cat(blocks).double().numpy())


def _project(described: _Described, dimensions: int) -> _Projected:
    """Return the directions in which counterfeits lie farthest from chest films, in units of these films' spread.

    They are the largest generalised eigenvectors of the counterfeits' second moment about the chest films' mean and
    the chest films' covariance, that one shrunk (Ledoit and Wolf, 2004).
    """
    chests = described.chests.reshape(-1, described.chests.shape[-1])
    centre, spread = chests.mean(axis=0), chests.std(axis=0) + _LEAST_SPREAD
    wrong = (described.counterfeits.reshape(-1, len(centre)) - centre) / spread
    np.clip(wrong, -_FARTHEST, _FARTHEST, out=wrong)
    within = ledoit_wolf((chests - centre) / spread)[0]
    top = (len(centre) - dimensions, len(centre) - 1)
    _, axes = scipy.linalg.eigh(wrong.T @ wrong / len(wrong), within, subset_by_index=top)
    directions = axes / spread[:, np.newaxis]
    embedded = (chests - centre) @ directions
    arrays = GateArrays(mean=embedded.mean(axis=0), covariance=np.asarray(ledoit_wolf(embedded)[0]))
    return _Projected(centre=centre, directions=directions, arrays=arrays)


def _area_weights(size: int) -> Tensor:
    """Return ``(32, size)``: how much of each pixel lies in each of 32 equal parts of the side, rows summing to 1."""
    bounds = np.arange(_SIDE + 1) * size / _SIDE
    pixels = np.arange(size)
    inside = np.minimum(bounds[1:, np.newaxis], pixels + 1) - np.maximum(bounds[:-1, np.newaxis], pixels)
    return torch.from_numpy(np.clip(inside, 0, None) * _SIDE / size).float()


def _edge_kernels() -> Tensor:
    """Return ``(8, 1, 3, 3)``: central differences along each of eight directions."""
    across = torch.tensor([[0.0, 0.0, 0.0], [-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    angles = [2 * math.pi * index / _DIRECTIONS for index in range(_DIRECTIONS)]
    return torch.stack([math.cos(angle) * across + math.sin(angle) * across.T for angle in angles]).unsqueeze(1)
