"""From calibration scores to operating points: temperature, the F3 optimum, and certified sensitivity.

Pure mathematics on arrays. A threshold is a probability; a film at or above it is flagged, so 0 flags everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import beta

from training.errors import RecallFloorUnreachable, TrainingDiverged
from training.metrics import Floats, Labels, confusion

FLAG_EVERYTHING = 0.0
_TEMPERATURE_BOUNDS = (0.05, 20.0)
# The bounded search stops a little short of a bound, so that nearness in logarithms stands for "on it".
_BOUND_MARGIN = 1e-3


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A threshold whose true sensitivity is at least ``1 - miss_bound`` with the confidence that was asked for.

    ``positives`` patients were looked at; ``misses`` of them lie below the threshold.
    """

    threshold: float
    positives: int
    misses: int
    miss_bound: float


def fit_temperature(margins: Floats, labels: Labels) -> float:
    """Return the temperature that minimises the log loss of ``sigmoid(margin / temperature)``.

    ``margins`` ``(n,)`` are logit differences. Dividing by a positive number keeps the order of films, so that it
    cannot move a threshold that is set by rank. Source: Guo et al., ICML 2017.

    Raises
    ------
    TrainingDiverged
        If the optimum lies on a bound of 0.05 to 20: the margins tell nothing, or separate these films entirely.
    """
    signs = np.where(labels == 1, 1.0, -1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -signs * margins / np.exp(log_temperature)).mean())

    low, high = np.log(_TEMPERATURE_BOUNDS)
    fitted = float(minimize_scalar(loss, bounds=(low, high), method="bounded").x)
    if not low + _BOUND_MARGIN < fitted < high - _BOUND_MARGIN:
        raise TrainingDiverged(
            f"the temperature is on its bound ({np.exp(fitted):.3g}): the network's scores cannot be calibrated on "
            f"{len(labels)} films, because they tell nothing or separate all of them"
        )
    return float(np.exp(fitted))


def f3_threshold(labels: Labels, scores: Floats) -> float:
    """Return the threshold with the highest F3 on these films; ``FLAG_EVERYTHING`` if flagging all of them wins."""
    candidates = np.unique(scores)
    values = [confusion(labels, scores, float(candidate)).f3 or 0.0 for candidate in candidates]
    best = int(np.argmax(values))
    return FLAG_EVERYTHING if best == 0 else float(candidates[best])


def one_film_per_patient(patients: NDArray[np.str_], eligible: NDArray[np.bool_], seed: int) -> NDArray[np.intp]:
    """Return the row numbers of one random eligible film of each patient that has any.

    Films of one patient miss together; counting them as independent breaks a 5 % promise 23 % of the time (ML.md §B).
    """
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(eligible))
    _, first = np.unique(patients[rows], return_index=True)
    return np.sort(rows[first])


def certified_threshold(positive_scores: Floats, *, sensitivity: float, confidence: float) -> Certificate:
    """Return the highest threshold that certifies ``sensitivity``, from independent positives ``(n,)``.

    With scores sorted upwards, the miss rate of threshold s_(k+1) is distributed as Beta(k + 1, n - k), whatever the
    scores' distribution; k is the largest whose ``confidence`` quantile stays within ``1 - sensitivity``. This is
    Clopper-Pearson at an order statistic, Wilks' tolerance limit: choosing on the same data costs nothing.

    Raises
    ------
    RecallFloorUnreachable
        If even k = 0 exceeds it: fewer than 59 positives for .95 at .95.
    """
    count = len(positive_scores)
    bounds = beta.ppf(confidence, np.arange(1, count + 1), np.arange(count, 0, -1))
    misses = int(np.sum(bounds <= 1 - sensitivity)) - 1
    if misses < 0:
        raise RecallFloorUnreachable(
            f"{count} independent positives cannot certify sensitivity {sensitivity:g} with confidence {confidence:g}; "
            f"it takes at least {positives_needed(sensitivity, confidence)}"
        )
    return Certificate(
        threshold=float(np.sort(positive_scores)[misses]),
        positives=count,
        misses=misses,
        miss_bound=float(bounds[misses]),
    )


def positives_needed(sensitivity: float, confidence: float) -> int:
    """Return the smallest number of independent positives that can certify ``sensitivity`` at all."""
    return int(np.ceil(np.log1p(-confidence) / np.log(sensitivity)))
