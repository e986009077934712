"""The third door: an embedding must lie among those of chest films.

Behind ``score`` in the walk, because the embedding comes out of the same pass as the probability. Knows vectors and the
statistics of ``gate.npz``; neither films nor bundles.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from model.errors import BundleIncompatible, Reason, UnsuitableImage


class EmbeddingGate:
    """Measures how far an embedding lies from those of the chest films that the gate was fitted on.

    Parameters
    ----------
    mean, covariance
        ``(d,)`` and ``(d, d)`` of the embeddings of those films.
    limit
        Largest squared Mahalanobis distance that may be judged.

    Raises
    ------
    BundleIncompatible
        If shapes differ, the limit is not a positive number, or the covariance has a direction without spread: a
        distance along it means nothing.
    """

    def __init__(self, *, mean: NDArray[np.float64], covariance: NDArray[np.float64], limit: float) -> None:
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise BundleIncompatible(f"the gate's mean {mean.shape} and covariance {covariance.shape} do not fit")
        if not (math.isfinite(limit) and limit > 0):
            raise BundleIncompatible("the gate's limit is not a positive number")
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError as error:
            raise BundleIncompatible("the gate's covariance is not positive definite") from error
        self._mean = mean
        # Inverted once: a film then costs one product of a matrix and a vector.
        self._whitening = np.linalg.inv(factor)
        self._limit = limit

    def distances(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the squared Mahalanobis distances ``(n,)`` of embeddings ``(n, d)``; not finite where they are not."""
        centred = np.asarray(embeddings, dtype=np.float64) - self._mean
        # NaN and infinity are refused by require_near; on the way there they are no surprise worth a warning.
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(((centred @ self._whitening.T) ** 2).sum(axis=1))

    def require_near(self, embedding: NDArray[np.floating]) -> None:
        """Return if the embedding ``(d,)`` lies among those of chest films.

        Raises
        ------
        UnsuitableImage
            Reason ``out_of_distribution``: it lies beyond the limit, or its distance is not a finite number.
        """
        distance = float(self.distances(embedding[np.newaxis])[0])
        if not distance <= self._limit:  # NaN compares false and is therefore refused
            raise UnsuitableImage(Reason.OUT_OF_DISTRIBUTION, "the film is unlike the chest films known to the network")
