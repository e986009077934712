"""Point figures from labels and scores, and their weighted forms. Pure numpy; knows no network, no files, no chance.

Positive class: unhealthy. F3 is never reported without the F3 of flagging everything, which at high prevalence beats
every published system (ML.md §A5), and skill, the share of the way from there to 1. Weights of films are what the
bootstrap of ``intervals`` hands in: a film of weight 2 counts as two films.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

BETA = 3.0


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
    def ppv(self) -> float | None:
        """Share of flagged films that are unhealthy (precision)."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def npv(self) -> float | None:
        """Share of films not flagged that are healthy."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_negatives)

    @property
    def accuracy(self) -> float | None:
        """Share of films whose flag equals their label."""
        return _ratio(self.true_positives + self.true_negatives, self.films)

    @property
    def f3(self) -> float | None:
        """F-beta with beta 3: recall counts nine times precision."""
        return _ratio(
            (1 + BETA**2) * self.true_positives,
            (1 + BETA**2) * self.true_positives + BETA**2 * self.false_negatives + self.false_positives,
        )

    @property
    def f3_flag_everything(self) -> float | None:
        """F3 of a system that flags every film: 10 pi / (1 + 9 pi) at prevalence pi."""
        positives = self.true_positives + self.false_negatives
        return _ratio((1 + BETA**2) * positives, BETA**2 * positives + self.films)

    @property
    def f3_skill(self) -> float | None:
        """(F3 - F3 of flagging everything) / (1 - F3 of flagging everything)."""
        if self.f3 is None or self.f3_flag_everything is None or self.f3_flag_everything == 1:
            return None
        return (self.f3 - self.f3_flag_everything) / (1 - self.f3_flag_everything)


def count_flags(labels: Labels, flagged: Flags) -> Confusion:
    """Count flags ``(n,)`` against labels ``(n,)`` of 0 and 1."""
    unhealthy = labels == 1
    return Confusion(
        true_negatives=int(np.sum(~flagged & ~unhealthy)),
        false_positives=int(np.sum(flagged & ~unhealthy)),
        false_negatives=int(np.sum(~flagged & unhealthy)),
        true_positives=int(np.sum(flagged & unhealthy)),
    )


def confusion(labels: Labels, scores: Floats, threshold: float) -> Confusion:
    """Count films flagged (score at or above ``threshold``) against labels ``(n,)`` of 0 and 1."""
    return count_flags(labels, scores >= threshold)


def f_beta_of_rates(
    sensitivity: Floats | float, false_positive_rate: Floats | float, prevalence: float, beta: float = BETA
) -> Floats:
    """Return F-beta at a prevalence: (1 + b²) r pi / (r pi + f (1 - pi) + b² pi), the form of ML.md §A5."""
    caught = np.asarray(sensitivity, dtype=np.float64) * prevalence
    needless = np.asarray(false_positive_rate, dtype=np.float64) * (1 - prevalence)
    return np.asarray((1 + beta**2) * caught / (caught + needless + beta**2 * prevalence))


def f_beta_flag_everything(prevalence: float, beta: float = BETA) -> float:
    """Return F-beta of a system that flags every film."""
    return float(f_beta_of_rates(1.0, 1.0, prevalence, beta))


def auc(labels: Labels, scores: Floats) -> float | None:
    """Return the ROC AUC, ties counted half; ``None`` where a class is missing."""
    return _defined(weighted_auc(labels, scores, np.ones((1, len(labels)))))


def weighted_auc(labels: Labels, scores: Floats, weights: Floats) -> Floats:
    """Return the ROC AUC under each row of ``weights`` ``(b, n)`` as ``(b,)``; NaN where a class has no weight."""
    won, pairs = _pairs(labels, scores, weights)
    return _share(won, pairs)


def stratified_auc(labels: Labels, scores: Floats, strata: NDArray[np.str_]) -> float | None:
    """Return the AUC over pairs of films from the same stratum; what is left when the stratum itself tells nothing."""
    return _defined(weighted_stratified_auc(labels, scores, strata, np.ones((1, len(labels)))))


def weighted_stratified_auc(labels: Labels, scores: Floats, strata: NDArray[np.str_], weights: Floats) -> Floats:
    """Return ``stratified_auc`` under each row of ``weights`` ``(b, n)`` as ``(b,)``."""
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for stratum in np.unique(strata):
        inside = strata == stratum
        its_won, its_pairs = _pairs(labels[inside], scores[inside], weights[:, inside])
        won, pairs = won + its_won, pairs + its_pairs
    return _share(won, pairs)


def average_precision(labels: Labels, scores: Floats) -> float | None:
    """Return the mean of precision over the unhealthy films, each at its own score; ``None`` without one."""
    return _defined(weighted_average_precision(labels, scores, np.ones((1, len(labels)))))


def weighted_average_precision(labels: Labels, scores: Floats, weights: Floats) -> Floats:
    """Return ``average_precision`` under each row of ``weights`` ``(b, n)`` as ``(b,)``; NaN without positives."""
    if not len(labels):
        return np.full(len(weights), np.nan)
    positives, negatives = _by_score(labels, -scores, weights)
    caught = np.cumsum(positives, axis=1)
    flagged = caught + np.cumsum(negatives, axis=1)
    precision = caught / np.where(flagged > 0, flagged, 1.0)
    return _share((positives * precision).sum(axis=1), positives.sum(axis=1))


def _pairs(labels: Labels, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return weight of the pairs (unhealthy, healthy) ranked rightly, and of all pairs, each ``(b,)``."""
    if not len(labels):
        return np.zeros(len(weights)), np.zeros(len(weights))
    positives, negatives = _by_score(labels, scores, weights)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    return (positives * below).sum(axis=1), positives.sum(axis=1) * negatives.sum(axis=1)


def _by_score(labels: Labels, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weight of unhealthy and of healthy films at each distinct score, ascending, each ``(b, m)``."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    ordered, unhealthy = weights[:, order], labels[order] == 1
    return np.add.reduceat(ordered * unhealthy, starts, axis=1), np.add.reduceat(ordered * ~unhealthy, starts, axis=1)


def _share(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(part / np.where(whole > 0, whole, np.nan))


def _defined(single: Floats) -> float | None:
    value = float(single[0])
    return None if np.isnan(value) else value


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
