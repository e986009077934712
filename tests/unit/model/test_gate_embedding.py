"""The distance to known chest films: right by scipy, and refusing whatever is no finite number."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from model.errors import BundleIncompatible, Reason, UnsuitableImage
from model.gate import EmbeddingGate

DIMENSIONS = 5
RNG = np.random.default_rng(3)
FILMS = RNG.normal(size=(400, DIMENSIONS)) @ RNG.normal(size=(DIMENSIONS, DIMENSIONS))
MEAN, COVARIANCE = FILMS.mean(axis=0), np.cov(FILMS.T)


def gate(limit: float = 20.0) -> EmbeddingGate:
    return EmbeddingGate(mean=MEAN, covariance=COVARIANCE, limit=limit)


def test_distances_are_squared_mahalanobis_distances() -> None:
    inverse = np.linalg.inv(COVARIANCE)
    expected = [mahalanobis(film, MEAN, inverse) ** 2 for film in FILMS[:20]]
    np.testing.assert_allclose(gate().distances(FILMS[:20].astype(np.float32)), expected, rtol=1e-4)


def test_film_at_the_limit_passes_and_one_beyond_is_refused() -> None:
    film = FILMS[7]
    distance = float(gate().distances(film[np.newaxis])[0])
    gate(distance).require_near(film)
    with pytest.raises(UnsuitableImage) as refusal:
        gate(np.nextafter(distance, 0)).require_near(film)
    assert refusal.value.reason is Reason.OUT_OF_DISTRIBUTION


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300], ids=str)
def test_embedding_that_is_no_number_is_refused(value: float) -> None:
    embedding = MEAN.copy()
    embedding[2] = value
    with pytest.raises(UnsuitableImage) as refusal:
        gate().require_near(embedding)
    assert refusal.value.reason is Reason.OUT_OF_DISTRIBUTION


@pytest.mark.parametrize(
    ("mean", "covariance", "limit"),
    [
        (MEAN, COVARIANCE[:4, :4], 1.0),
        (MEAN[np.newaxis], COVARIANCE, 1.0),
        (MEAN, np.zeros_like(COVARIANCE), 1.0),
        (MEAN, -COVARIANCE, 1.0),
        (MEAN, COVARIANCE, 0.0),
        (MEAN, COVARIANCE, np.nan),
        (MEAN, COVARIANCE, np.inf),
    ],
)
def test_statistics_that_measure_nothing_are_refused(mean: np.ndarray, covariance: np.ndarray, limit: float) -> None:
    with pytest.raises(BundleIncompatible):
        EmbeddingGate(mean=mean, covariance=covariance, limit=limit)
