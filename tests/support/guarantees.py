"""What thresholds promise, held against populations whose miss rate is known: simulation of many calibrations.

Patients differ: each has a level of its own that its films share, so that films of one patient miss together. Scores
are standard normal over the population, therefore a threshold's miss rate is known exactly and no test sample blurs it.
Knows no films, no network and no command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from training.statistics.metrics import Floats
from training.statistics.thresholds import certified_threshold, expected_threshold

# A rule gets the scores (p, f) of p patients with f unhealthy films each, and a generator; it answers a threshold.
Rule = Callable[[Floats, np.random.Generator], float]


@dataclass(frozen=True, kw_only=True)
class Population:
    """Unhealthy films: ``patients`` patients a calibration with ``films`` each, ``correlation`` within a patient."""

    patients: int
    films: int = 1
    correlation: float = 0.0

    def calibrations(self, draws: int, seed: int) -> Iterator[tuple[Floats, np.random.Generator]]:
        """Yield the scores ``(patients, films)`` of ``draws`` independent calibrations."""
        rng = np.random.default_rng(seed)
        shared, own = np.sqrt(self.correlation), np.sqrt(1 - self.correlation)
        for _ in range(draws):
            levels = rng.standard_normal((self.patients, 1))
            yield shared * levels + own * rng.standard_normal((self.patients, self.films)), rng


def miss_rates(rule: Rule, population: Population, *, draws: int, seed: int) -> Floats:
    """Return the population's true miss rate at the threshold of each of ``draws`` calibrations, ``(draws,)``."""
    thresholds = [rule(scores, rng) for scores, rng in population.calibrations(draws, seed)]
    return np.asarray(norm.cdf(thresholds))


def violation_p_value(rates: Floats, *, allowed: float, promised: float) -> float:
    """Return the chance of so many miss rates above ``allowed``, did that happen with probability ``promised``."""
    violations = int(np.sum(rates > allowed))
    return float(binomtest(violations, len(rates), promised, alternative="greater").pvalue)


def certified_by_patient(sensitivity: float, confidence: float) -> Rule:
    """Certify on one random film of each patient: what ``sens95`` does."""

    def rule(scores: Floats, rng: np.random.Generator) -> float:
        chosen = rng.integers(scores.shape[1], size=len(scores))
        singles = scores[np.arange(len(scores)), chosen]
        return certified_threshold(singles, sensitivity=sensitivity, confidence=confidence).threshold

    return rule


def certified_by_film(sensitivity: float, confidence: float) -> Rule:
    """Certify on all films as if they were independent: wrong where patients have several."""

    def rule(scores: Floats, rng: np.random.Generator) -> float:
        return certified_threshold(scores.ravel(), sensitivity=sensitivity, confidence=confidence).threshold

    return rule


def plain_quantile(sensitivity: float) -> Rule:
    """Take the quantile of the calibration films themselves: wrong about every second time."""

    def rule(scores: Floats, rng: np.random.Generator) -> float:
        return float(np.quantile(scores, 1 - sensitivity))

    return rule


def expected_by_patient(sensitivity: float) -> Rule:
    """Control the expected miss rate over patients: what ``expected95`` does."""

    def rule(scores: Floats, rng: np.random.Generator) -> float:
        patients: NDArray[np.str_] = np.repeat(np.arange(len(scores)).astype(np.str_), scores.shape[1])
        return expected_threshold(scores.ravel(), patients, sensitivity=sensitivity).threshold

    return rule
