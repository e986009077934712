"""Sites of which the truth of every study is known, as ``benchmarks.feedback`` asks about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.jobs.performance import Cell, Reading
from services.jobs.standings import Truth

_Marks = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A site: how many studies it decides, how ill its patients are, what the model does, what readers do.

    ``read_share`` of the flagged studies get a truth, ``uncertain_share`` of all readings end in doubt.
    """

    prevalence: float
    blind_share: float
    studies: int = 20_000
    sensitivity: float = 0.95
    specificity: float = 0.6
    read_share: float = 0.5
    uncertain_share: float = 0.05

    def truth(self) -> Mapping[str, float]:
        """Return what the four figures are, for ever and not only of the studies that came."""
        ill, hits = self.prevalence, self.prevalence * self.sensitivity
        passed = (1 - ill) * self.specificity
        return {
            "sensitivity": self.sensitivity,
            "specificity": self.specificity,
            "ppv": hits / (hits + (1 - ill) * (1 - self.specificity)),
            "npv": passed / (passed + ill * (1 - self.sensitivity)),
        }


@dataclass(frozen=True, kw_only=True)
class Site:
    """One outcome of a scenario; an entry a study. ``naive`` counts every reading once, as if all were alike."""

    is_ill: _Marks
    is_flagged: _Marks
    is_drawn: _Marks
    is_read: _Marks
    is_doubted: _Marks

    @classmethod
    def of(cls, scenario: Scenario, random: np.random.Generator) -> Site:
        """Return a site at which this happened."""
        chance = random.random((5, scenario.studies))
        is_ill = chance[0] < scenario.prevalence
        is_flagged = np.where(is_ill, chance[1] < scenario.sensitivity, chance[1] >= scenario.specificity)
        is_drawn = chance[2] < scenario.blind_share
        return cls(
            is_ill=is_ill,
            is_flagged=is_flagged,
            is_drawn=is_drawn,
            is_read=np.where(is_flagged, chance[3] < scenario.read_share, is_drawn),
            is_doubted=chance[4] < scenario.uncertain_share,
        )

    def cell(self, share: float) -> Cell:
        """Return what the service would know of it."""
        return Cell(
            flagged=int(self.is_flagged.sum()),
            not_flagged=int((~self.is_flagged).sum()),
            of_flagged=tuple(self._readings(self.is_flagged & self.is_read, 1.0)),
            blind=tuple(self._readings(~self.is_flagged & self.is_read, share)),
        )

    def naive_sensitivity(self) -> float:
        """Return the share of flagged ones among the ill that were read: what counting alone would say."""
        found = self.is_ill & self.is_read & ~self.is_doubted
        return float((found & self.is_flagged).sum() / max(found.sum(), 1))

    def truth_of(self, study: int) -> Truth:
        """Return what a reader says of a study."""
        if self.is_doubted[study]:
            return Truth.UNCERTAIN
        return Truth.FINDING if self.is_ill[study] else Truth.NO_FINDING

    def _readings(self, marks: _Marks, share: float) -> Iterator[Reading]:
        of_truth = {
            Truth.UNCERTAIN: self.is_doubted,
            Truth.FINDING: self.is_ill & ~self.is_doubted,
            Truth.NO_FINDING: ~self.is_ill & ~self.is_doubted,
        }
        for truth, of in of_truth.items():
            yield from (Reading(truth=truth, share=share),) * int((marks & of).sum())
