"""Figures from labels and scores. Pure numpy; knows no network, no files.

Positive class: unhealthy. F3 is never reported without the F3 of flagging everything, which at high prevalence beats
every published system (ML.md §A5), and skill, the share of the way from there to 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

_BETA = 3.0
_CHUNK = 100


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counts of films at one threshold; ratios are ``None`` where their denominator is empty."""

    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int

    @property
    def films(self) -> int:
        """All films counted."""
        return self.true_negatives + self.false_positives + self.false_negatives + self.true_positives

    @property
    def sensitivity(self) -> float | None:
        """Share of unhealthy films that are flagged."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float | None:
        """Share of healthy films that are not flagged."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def accuracy(self) -> float | None:
        """Share of films whose flag equals their label."""
        return _ratio(self.true_positives + self.true_negatives, self.films)

    @property
    def f3(self) -> float | None:
        """F-beta with beta 3: recall counts nine times precision."""
        return _ratio(
            (1 + _BETA**2) * self.true_positives,
            (1 + _BETA**2) * self.true_positives + _BETA**2 * self.false_negatives + self.false_positives,
        )

    @property
    def f3_flag_everything(self) -> float | None:
        """F3 of a system that flags every film: 10 pi / (1 + 9 pi) at prevalence pi."""
        positives = self.true_positives + self.false_negatives
        return _ratio((1 + _BETA**2) * positives, _BETA**2 * positives + self.films)

    @property
    def f3_skill(self) -> float | None:
        """(F3 - F3 of flagging everything) / (1 - F3 of flagging everything)."""
        if self.f3 is None or self.f3_flag_everything is None or self.f3_flag_everything == 1:
            return None
        return (self.f3 - self.f3_flag_everything) / (1 - self.f3_flag_everything)


def confusion(labels: Labels, scores: Floats, threshold: float) -> Confusion:
    """Count films flagged (score at or above ``threshold``) against labels ``(n,)`` of 0 and 1."""
    flagged, unhealthy = scores >= threshold, labels == 1
    return Confusion(
        true_negatives=int(np.sum(~flagged & ~unhealthy)),
        false_positives=int(np.sum(flagged & ~unhealthy)),
        false_negatives=int(np.sum(~flagged & unhealthy)),
        true_positives=int(np.sum(flagged & unhealthy)),
    )


def auc(labels: Labels, scores: Floats) -> float | None:
    """Return the ROC AUC, ties counted half; ``None`` where a class is missing."""
    value = float(weighted_auc(labels, scores, np.ones((1, len(labels))))[0])
    return None if np.isnan(value) else value


def weighted_auc(labels: Labels, scores: Floats, weights: Floats) -> Floats:
    """Return the ROC AUC under each row of ``weights`` ``(b, n)`` as ``(b,)``; NaN where a class has no weight."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    ordered, unhealthy = weights[:, order], labels[order] == 1
    positives = np.add.reduceat(ordered * unhealthy, starts, axis=1)
    negatives = np.add.reduceat(ordered * ~unhealthy, starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((positives * below).sum(axis=1) / np.where(pairs > 0, pairs, np.nan))


def stratified_auc(labels: Labels, scores: Floats, strata: NDArray[np.str_]) -> float | None:
    """Return the AUC over pairs of films from the same stratum; what is left when the stratum itself tells nothing."""
    total, won = 0.0, 0.0
    for stratum in np.unique(strata):
        inside = strata == stratum
        value = auc(labels[inside], scores[inside])
        if value is not None:
            pairs = float(np.sum(labels[inside] == 1)) * float(np.sum(labels[inside] == 0))
            total, won = total + pairs, won + pairs * value
    return won / total if total else None


def expected_calibration_error(labels: Labels, scores: Floats, bins: int = 10) -> float:
    """Return the mean gap between score and observed share, over ``bins`` of equally many films."""
    order = np.argsort(scores, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    gaps = [len(group) * abs(float(labels[group].mean() - scores[group].mean())) for group in groups]
    return sum(gaps) / len(labels)


def patient_weights(patients: NDArray[np.str_], replicates: int, seed: int) -> Iterator[Floats]:
    """Yield blocks ``(b, n)`` of bootstrap weights: patients are drawn with replacement, their films together.

    Films of one patient resemble each other; drawing films alone would make intervals too narrow (ML.md §B).
    """
    rng = np.random.default_rng(seed)
    names, member = np.unique(patients, return_inverse=True)
    shares = np.full(len(names), 1 / len(names))
    for start in range(0, replicates, _CHUNK):
        drawn = rng.multinomial(len(names), shares, size=min(_CHUNK, replicates - start))
        yield drawn[:, member].astype(np.float64)


def bootstrap_figures(labels: Labels, scores: Floats, weights: Floats, threshold: float | None) -> dict[str, Floats]:
    """Return each figure under each row of ``weights`` ``(b, n)``, as ``(b,)``; NaN where it is undefined."""
    figures = {"auc": weighted_auc(labels, scores, weights)}
    if threshold is None:
        return figures
    flagged, unhealthy = scores >= threshold, labels == 1
    tp, fn = weights @ (flagged & unhealthy), weights @ (~flagged & unhealthy)
    tn, fp = weights @ (~flagged & ~unhealthy), weights @ (flagged & ~unhealthy)
    with np.errstate(invalid="ignore", divide="ignore"):
        f3 = 10 * tp / (10 * tp + 9 * fn + fp)
        everything = 10 * (tp + fn) / (9 * (tp + fn) + tp + fn + tn + fp)
        figures |= {
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "accuracy": (tp + tn) / (tp + fn + tn + fp),
            "f3": f3,
            "f3_skill": (f3 - everything) / (1 - everything),
        }
    return figures


def interval(draws: Floats) -> tuple[float, float] | None:
    """Return the central 95 % of bootstrap draws, undefined ones left out; ``None`` if all are."""
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
