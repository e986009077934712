"""From calibration scores to thresholds: the F3 optimum, certified and expected sensitivity, and least cost.

Pure mathematics on arrays. A threshold is a probability; a film at or above it is flagged, so 0 flags everything. All
of them are set by rank or by counts of flags, so that no monotone change of the scores moves a decision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from training.errors import RecallFloorUnreachable
from training.statistics.metrics import BETA, Flags, Floats, Labels

FLAG_EVERYTHING = 0.0


@dataclass(frozen=True, kw_only=True)
class CertifiedThreshold:
    """A threshold whose true sensitivity is at least ``1 - miss_bound`` with the confidence that was asked for.

    ``positives`` patients were looked at; ``misses`` of them lie below the threshold, or fewer where several share
    its score; the bound then holds with something to spare.
    """

    threshold: float
    positives: int
    misses: int
    miss_bound: float


@dataclass(frozen=True, kw_only=True)
class ExpectedThreshold:
    """A threshold whose sensitivity is as asked on average over calibrations, from ``patients`` with unhealthy films.

    ``miss_share`` is the mean over these patients of the share of their unhealthy films below it.
    """

    threshold: float
    patients: int
    miss_share: float


def f_beta_threshold(
    labels: Labels, scores: Floats, *, prevalence: float | None = None, beta_weight: float = BETA
) -> float:
    """Return the threshold with the highest F-beta (default F3); ``FLAG_EVERYTHING`` if flagging all of them wins.

    With ``prevalence`` the films count as if that share of them were unhealthy. Of equals the lowest is taken.
    ``labels`` ``(n,)`` hold both classes.
    """
    candidates, caught, needless = _flagged_from(labels, scores)
    positives, negatives = caught[0], needless[0]
    odds = 1.0 if prevalence is None else prevalence / (1 - prevalence) * negatives / positives
    values = (1 + beta_weight**2) * odds * caught / (odds * caught + needless + beta_weight**2 * odds * positives)
    return _lowest(candidates, values)


def cost_threshold(labels: Labels, scores: Floats, *, ratio: float) -> float:
    """Return the threshold of least cost, a miss costing ``ratio`` needless reads; ``FLAG_EVERYTHING`` if that wins.

    Thresholds that flag no film at all are not considered. Of equals the lowest is taken.
    """
    candidates, caught, needless = _flagged_from(labels, scores)
    return _lowest(candidates, -(ratio * (caught[0] - caught) + needless))


def one_film_per_patient(patients: NDArray[np.str_], eligible: Flags, seed: int) -> NDArray[np.intp]:
    """Return the row numbers of one random eligible film of each patient that has any.

    Films of one patient miss together; counting them as independent breaks a 5 % promise 23 % of the time (ML.md §B).
    """
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(eligible))
    _, first = np.unique(patients[rows], return_index=True)
    return np.sort(rows[first])


def certified_threshold(positive_scores: Floats, *, sensitivity: float, confidence: float) -> CertifiedThreshold:
    """Return the highest threshold that certifies ``sensitivity``, from independent positives ``(n,)``.

    With scores sorted upwards, the miss rate of threshold s_(k+1) is distributed as Beta(k + 1, n - k), whatever the
    scores' distribution; k is the largest whose ``confidence`` quantile stays within ``1 - sensitivity``. This is
    Clopper-Pearson at an order statistic, Wilks' tolerance limit: choosing the *threshold* on the same data costs
    nothing. It does not cover a choice among several graphs on that data: who ships the better of two on the very films
    that certify it has a bound that is slightly too good.

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
    return CertifiedThreshold(
        threshold=float(np.sort(positive_scores)[misses]),
        positives=count,
        misses=misses,
        miss_bound=float(bounds[misses]),
    )


def positives_needed(sensitivity: float, confidence: float) -> int:
    """Return the smallest number of independent positives that can certify ``sensitivity`` at all."""
    return int(np.ceil(np.log1p(-confidence) / np.log(sensitivity)))


def expected_threshold(
    positive_scores: Floats, positive_patients: NDArray[np.str_], *, sensitivity: float
) -> ExpectedThreshold:
    """Return the highest threshold that keeps the expected miss rate of the next patient within ``1 - sensitivity``.

    ``positive_scores`` and ``positive_patients`` ``(n,)`` are unhealthy films. The loss of patient i is the share
    L_i(t) of its unhealthy films below t; the threshold is sup{t : (sum L_i(t) + 1) / (P + 1) <= alpha}, conformal risk
    control (Angelopoulos et al., ICLR 2024). It holds on average, not for each calibration: about every second one
    misses more.

    Raises
    ------
    RecallFloorUnreachable
        If even missing none exceeds it: fewer than 19 patients for .95.
    """
    names, member = np.unique(positive_patients, return_inverse=True)
    patients, allowed = len(names), 1 - sensitivity
    budget = allowed * (patients + 1) - 1
    # 1 / .05 - 1 comes out a hair below 19.
    if budget < -1e-9:
        raise RecallFloorUnreachable(
            f"{patients} patients with unhealthy films cannot keep an expected sensitivity of {sensitivity:g}; "
            f"it takes at least {int(np.ceil(1 / allowed - 1 - 1e-9))}"
        )
    order = np.argsort(positive_scores, kind="stable")
    shares = (1 / np.bincount(member))[member][order]
    below = np.cumsum(shares) - shares
    ordered = positive_scores[order]
    # Films of equal score are below nothing of each other.
    below = below[np.searchsorted(ordered, ordered, side="left")]
    last = int(np.sum(below <= budget + 1e-9)) - 1
    return ExpectedThreshold(
        threshold=float(ordered[last]), patients=patients, miss_share=float(below[last]) / patients
    )


def _flagged_from(labels: Labels, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the distinct scores upwards, and how many unhealthy and healthy films lie at or above each."""
    candidates, place = np.unique(scores, return_inverse=True)
    positives = np.bincount(place, weights=labels == 1, minlength=len(candidates))
    negatives = np.bincount(place, weights=labels != 1, minlength=len(candidates))
    caught, needless = (np.cumsum(counts[::-1])[::-1].astype(np.float64) for counts in (positives, negatives))
    return candidates, caught, needless


def _lowest(candidates: Floats, values: Floats) -> float:
    best = int(np.argmax(values))
    return FLAG_EVERYTHING if best == 0 else float(candidates[best])
