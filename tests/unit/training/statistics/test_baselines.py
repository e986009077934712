"""The baselines see what they should: the view alone, and edges at any film size."""

from __future__ import annotations

import numpy as np
import pytest

from model.phantom import chest_phantom
from training.statistics.baselines import hog_features, hog_scores, view_scores
from training.statistics.metrics import auc


def drawn(count: int, size: int = 64) -> np.ndarray:
    films = [chest_phantom(seed, rows=size, columns=size, opacity=float(seed % 2)) for seed in range(count)]
    return np.stack([np.rint(film * 255).astype(np.uint8)[np.newaxis] for film in films])


def test_the_view_baseline_scores_by_the_share_of_unhealthy_films_of_the_view() -> None:
    views = np.array(["AP", "AP", "AP", "AP", "PA", "PA"])
    labels = np.array([1, 1, 1, 0, 0, 1])
    scores = view_scores(views, labels, np.array(["PA", "AP", "unknown"]))
    np.testing.assert_allclose(scores, [0.5, 0.75, 4 / 6])


@pytest.mark.parametrize("size", [32, 64, 100, 128, 300])
def test_films_of_any_size_have_as_many_features(size: int) -> None:
    features = hog_features([drawn(2, size)])
    assert features.shape == (2, 1764)
    assert np.isfinite(features).all()


def test_a_blank_film_has_no_edges() -> None:
    assert not hog_features([np.full((1, 1, 64, 64), 7, dtype=np.uint8)]).any()


def test_edges_tell_a_shadow_from_none() -> None:
    features, labels = hog_features([drawn(40), drawn(60)[40:]]), np.arange(60) % 2
    patients = np.array([str(number) for number in range(60)])
    scores = hog_scores(features[:40], labels[:40], patients[:40], features[40:])
    assert auc(labels[40:], scores) > 0.8
