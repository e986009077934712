"""The gate as training fits it: on drawings, held against what it must refuse and what it must let through."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.gate import EmbeddingGate
from model.image import GrayImage, Tensor
from model.phantom import chest_phantom
from model.preprocessing import PreprocessingSpec, preprocess
from training.errors import DatasetError
from training.graphs.embedding import Embedding, FilmFields, FittedGate, fit_gate
from training.graphs.gate_films import counterfeits, through_64, variations
from training.recipe import GateRecipe

SIZE = 96
RECIPE = GateRecipe(dimensions=12, percentile=99.0)


def drawings(seeds: range, *, size: int = SIZE) -> Tensor:
    spec = PreprocessingSpec(size=size)
    films = []
    for seed in seeds:
        film = chest_phantom(seed, rows=192, columns=192, opacity=seed % 3 / 3)
        strength = np.random.default_rng(seed).uniform(0.7, 1.4)
        pixels = np.rint(film ** np.float32(strength) * 65535).astype(np.uint16)
        films.append(preprocess(GrayImage(pixels=pixels, black=0.0, white=65535.0), spec))
    return np.stack(films)


@pytest.fixture(scope="module")
def fitted() -> FittedGate:
    return fit_gate(drawings(range(60)), RECIPE)


def embedded(embedding: Embedding, films: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(embedding(torch.from_numpy(films)))


def refused(fitted: FittedGate, films: Tensor) -> float:
    gate = EmbeddingGate(mean=fitted.arrays.mean, covariance=fitted.arrays.covariance, limit=fitted.limit)
    return float((gate.distances(embedded(fitted.embedding, films)) > fitted.limit).mean())


def test_gate_lets_unseen_drawings_through_and_refuses_noise(fitted: FittedGate) -> None:
    unseen = drawings(range(100, 140))
    assert refused(fitted, unseen) <= 0.1
    noise = np.random.default_rng(1).integers(0, 256, (40, 1, SIZE, SIZE), dtype=np.uint8)
    assert refused(fitted, noise) == 1.0
    assert refused(fitted, np.ascontiguousarray(unseen[:, :, ::-1])) >= 0.9


def test_gate_sees_hardly_a_difference_when_films_went_through_64_pixels(fitted: FittedGate) -> None:
    assert refused(fitted, through_64(drawings(range(100, 140)))) <= 0.1


def test_same_films_give_the_same_gate(fitted: FittedGate) -> None:
    again = fit_gate(drawings(range(60)), RECIPE)
    assert again.limit == fitted.limit
    np.testing.assert_array_equal(again.arrays.covariance, fitted.arrays.covariance)


def test_embedding_has_the_dimensions_of_the_recipe_and_of_the_arrays(fitted: FittedGate) -> None:
    assert embedded(fitted.embedding, drawings(range(2))).shape == (2, RECIPE.dimensions)
    assert fitted.arrays.mean.shape == (RECIPE.dimensions,)
    assert fitted.films == 60


def test_inverted_films_do_not_count_as_reference() -> None:
    films = drawings(range(20))
    fitted = fit_gate(np.concatenate([films, 255 - films[:3]]), RECIPE)
    assert fitted.films == 20
    assert fitted.limit == fit_gate(films, RECIPE).limit


@pytest.mark.parametrize("size", [28, 64, 96, 130])
def test_fields_average_areas_at_any_size(size: int) -> None:
    fields = FilmFields(size)
    torch.testing.assert_close(fields.area.sum(dim=1), torch.ones(32))
    assert fields(torch.from_numpy(drawings(range(2), size=size))).shape == (2, 544)


def test_flat_film_has_finite_fields() -> None:
    assert torch.isfinite(FilmFields(64)(torch.zeros((1, 1, 64, 64), dtype=torch.uint8))).all()


def test_versions_keep_shape_and_type_and_counterfeits_are_others() -> None:
    films = drawings(range(3))
    versions = [*variations(films, seed=1), *counterfeits(films, seed=1)]
    assert {(version.shape, version.dtype.name) for version in versions} == {(films.shape, "uint8")}
    assert all(not np.array_equal(version, films) for version in versions)


def test_too_few_films_for_a_gate_are_named() -> None:
    with pytest.raises(DatasetError, match="at least 10 films"):
        fit_gate(drawings(range(9)), RECIPE)
