"""How far this worker's scores have moved from those that the bundle was tested on: the population stability index.

A site has another share of unhealthy films than the test set, and that alone moves every score. So scores are compared
with the mixture of the bundle's healthy and unhealthy test films that fits them best: what is left is drift that no
prevalence explains (docs/decisions/0034-alerts.md). Knows no metrics and no films.
"""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Fewer scores differ from the reference by chance alone as much as drift would.
FEWEST_SCORES: Final = 200
LAST_SCORES: Final = 1000
# A bin that holds less of the reference is merged with its neighbour: the index weighs an empty bin without bound.
_SMALLEST_BIN: Final = 0.08
# Added to each bin of a class, so that none is empty.
_PRIOR_FILMS: Final = 0.5
_PREVALENCES: Final = np.linspace(0.0, 1.0, 101)[:, np.newaxis]


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreReference:
    """Shares of a bundle's test films by score, healthy and unhealthy apart.

    ``inner_edges`` ``(b - 1,)`` part the bins; ``healthy`` and ``unhealthy`` ``(b,)`` each sum to 1.
    """

    inner_edges: NDArray[np.float64]
    healthy: NDArray[np.float64]
    unhealthy: NDArray[np.float64]
    films: int

    @classmethod
    def of(cls, report: bytes | None) -> ScoreReference | None:
        """Read the histogram of a bundle's report; ``None`` where it has none that says anything of both classes."""
        try:
            histogram = json.loads(report or b"")["curves"]["histogram"]
            edges, healthy, unhealthy = (
                np.asarray(histogram[name], np.float64) for name in ("edges", "healthy", "unhealthy")
            )
        except (ValueError, KeyError, TypeError):
            return None
        if not (len(edges) - 1 == len(healthy) == len(unhealthy) > 0 and healthy.sum() > 0 and unhealthy.sum() > 0):
            return None
        starts = _merged(healthy / healthy.sum() + unhealthy / unhealthy.sum())
        return cls(
            inner_edges=edges[starts[1:]],
            healthy=_smoothed(np.add.reduceat(healthy, starts)),
            unhealthy=_smoothed(np.add.reduceat(unhealthy, starts)),
            films=int(healthy.sum() + unhealthy.sum()),
        )

    def index(self, counts: NDArray[np.float64]) -> float:
        """Return the population stability index of scores counted by bin, at the prevalence where it is smallest."""
        observed = _smoothed(counts)
        expected = _PREVALENCES * self.unhealthy + (1 - _PREVALENCES) * self.healthy
        indices = ((observed - expected) * np.log(observed / expected)).sum(axis=1)
        return float(indices.min())


class ScoreDrift:
    """The last scores of one bundle beside its reference. One thread adds, any may ask."""

    def __init__(self, reference: ScoreReference | None) -> None:
        self._reference = reference
        self._bins: deque[int] = deque(maxlen=LAST_SCORES)
        self._counts = np.zeros(0 if reference is None else len(reference.healthy))

    @property
    def reference_films(self) -> int:
        """How many test films the reference has; 0 where the bundle brought none."""
        return 0 if self._reference is None else self._reference.films

    @property
    def films(self) -> int:
        """How many scores are compared."""
        return len(self._bins)

    @property
    def index(self) -> float:
        """The index, NaN where too few scores or no reference tell nothing."""
        if self._reference is None or self.films < FEWEST_SCORES:
            return math.nan
        return self._reference.index(self._counts.copy())

    def add(self, probability: float) -> None:
        """Take in one score; the oldest goes once there are enough."""
        if self._reference is None:
            return
        if self.films == LAST_SCORES:
            self._counts[self._bins[0]] -= 1
        place = int(np.searchsorted(self._reference.inner_edges, probability, side="right"))
        self._bins.append(place)
        self._counts[place] += 1


def _merged(weights: NDArray[np.float64]) -> list[int]:
    """Return where bins begin that hold ``_SMALLEST_BIN`` of all at least; the last one takes what is left."""
    smallest, starts, held = _SMALLEST_BIN * weights.sum(), [0], 0.0
    for place, weight in enumerate(weights):
        if held >= smallest and weights[place:].sum() >= smallest:
            starts.append(place)
            held = 0.0
        held += weight
    return starts


def _smoothed(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    films = counts + _PRIOR_FILMS
    return np.asarray(films / films.sum())
