"""How sure a figure is: bootstrap of patients, and exact binomial bounds.

Films of one patient resemble each other, so patients are drawn, never films (ML.md §B). Knows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binomtest

from training.statistics.metrics import Floats

# Draws of one block share the memory of (draws, films) weights: 100 x 25,596 films of NIH's test list are 20 MB.
_BLOCK = 100
_TWO_SIDED = 0.95


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """So many draws of patients with replacement. Equal seed and patients give equal draws: figures can be paired."""

    replicates: int
    seed: int

    def weights(self, patients: NDArray[np.str_]) -> Iterator[Floats]:
        """Yield blocks ``(b, n)``: how often each film was drawn, the same for all films of one patient."""
        rng = np.random.default_rng(self.seed)
        names, member = np.unique(patients, return_inverse=True)
        count = len(names)
        for start in range(0, self.replicates, _BLOCK):
            rows = min(_BLOCK, self.replicates - start)
            drawn = rng.integers(count, size=(rows, count)) if count else np.zeros((rows, 0), dtype=np.int64)
            cells = drawn + count * np.arange(rows)[:, None]
            times = np.bincount(cells.ravel(), minlength=rows * count).reshape(rows, count)
            yield times[:, member].astype(np.float64)

    def draws(
        self, patients: NDArray[np.str_], statistics: Callable[[Floats], Mapping[str, Floats]]
    ) -> dict[str, Floats]:
        """Return each figure of ``statistics`` under every draw, ``(replicates,)``; NaN where it is undefined.

        ``statistics`` maps weights ``(b, n)`` to figures ``(b,)`` by name.
        """
        blocks = [statistics(weights) for weights in self.weights(patients)]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def interval(draws: Floats) -> tuple[float, float] | None:
    """Return the central 95 % of bootstrap draws, undefined ones left out; ``None`` if all are."""
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, ((1 - _TWO_SIDED) / 2, (1 + _TWO_SIDED) / 2))
    return float(low), float(high)


def exact_interval(count: int, of: int) -> tuple[float, float] | None:
    """Return the 95 % interval of Clopper and Pearson for ``count`` of ``of`` independent films; ``None`` of none."""
    if not of:
        return None
    bounds = binomtest(count, of).proportion_ci(confidence_level=_TWO_SIDED, method="exact")
    return float(bounds.low), float(bounds.high)


def miss_bound(misses: int, positives: int, confidence: float) -> float:
    """Return the one-sided upper bound of Clopper and Pearson for a miss rate; 1 where nothing was looked at."""
    return 1.0 if misses >= positives else float(beta.ppf(confidence, misses + 1, positives - misses))


def miss_rate_p_value(misses: int, positives: int, allowed: float) -> float:
    """Return the chance of so many misses or more, were the miss rate just ``allowed`` (exact binomial test)."""
    return float(binomtest(misses, positives, allowed, alternative="greater").pvalue)
