"""What costs nothing to reach: the predictor that knows only how common each finding is, and leakage by chance.

Uses the product's own metric functions, so that the reference points and our figures are computed alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from training.statistics.calibration import log_loss
from training.statistics.metrics import auc
from training.statistics.multilabel import averages, keras_auc


@dataclass(frozen=True, kw_only=True)
class ConstantPredictor:
    """Figures of answering every film with each finding's share.

    ``averages`` are precision, recall and F1 by name of the average (``micro``, ``macro``, ``weighted``).
    """

    flattened_auc: float
    keras_auc: float
    binary_accuracy: float
    loss: float
    averages: Mapping[str, Mapping[str, float]]


def constant_predictor(positives: Sequence[int], films: int, threshold: float = 0.5) -> ConstantPredictor:
    """Return what knowing the shares alone is worth; ``positives`` are films with each finding, of ``films``.

    A finding is called at or above ``threshold``. None of these figures depends on which findings share a film.
    """
    truths = marginal_truths(positives, films)
    scores = np.broadcast_to(np.array(positives) / films, truths.shape).astype(np.float64)
    labels, flat = truths.ravel(), scores.ravel()
    flattened, keras, loss = auc(labels, flat), keras_auc(labels, flat), log_loss(labels, flat)
    assert flattened is not None
    assert keras is not None
    assert loss is not None
    return ConstantPredictor(
        flattened_auc=flattened,
        keras_auc=keras,
        binary_accuracy=float(np.mean((flat >= threshold) == (labels == 1))),
        loss=loss,
        averages={name: found for name, found in averages(truths, scores >= threshold).items() if name != "samples"},
    )


def marginal_truths(positives: Sequence[int], films: int) -> NDArray[np.int64]:
    """Return labels ``(films, k)`` with so many positives in each column; who shares a film is made up."""
    return (np.arange(films)[:, None] < np.array(positives)[None, :]).astype(np.int64)


def binormal_auc(sensitivity: float, specificity: float) -> float:
    """Return the AUC of the equal-variance binormal curve through one operating point.

    A report that prints no AUC prints one point of its curve; this is the usual guess at the rest of it.
    """
    return float(norm.cdf((norm.ppf(sensitivity) + norm.ppf(specificity)) / np.sqrt(2)))


def leaked_share(films_of_patients: Mapping[int, int], train: float) -> float:
    """Return the expected share of test films whose patient has a film in train, where films are dealt at random.

    ``films_of_patients`` says how many patients have so many films, ``train`` is the train part's share of films. Each
    of a film's ``n - 1`` siblings lies in train with that chance: 1 - (1 - train)^(n - 1).
    """
    films = sum(count * patients for count, patients in films_of_patients.items())
    leaked = sum(count * patients * (1 - (1 - train) ** (count - 1)) for count, patients in films_of_patients.items())
    return leaked / films
