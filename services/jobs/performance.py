"""How well a site's decisions fare, from what its readers found: sensitivity, specificity, PPV and NPV with intervals.

The unit is the study. Flagged studies with a truth stand for all flagged ones; of the studies that are not flagged only
those that were drawn and read blind count, each for as many as its share says. Everybody else's word on them is counted
and not weighed: who speaks up about a study that was not flagged has found something. Pure arithmetic on counts; where
they come from is in ``tallies``. docs/decisions/0032-feedback.md argues it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.jobs.proportions import Bounded, part_of_both, proportion
from services.jobs.standings import Truth

TOO_SMALL: Final = "n too small"
# Below these a figure says less than its interval seems to: one reading in a hundred moves it by a tenth.
FLAGGED_NEEDED: Final = 30
BLIND_NEEDED: Final = 100
KNOWN_NEEDED: Final = 10


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A study's truth. ``share`` is with which probability it was drawn; it does not matter for flagged ones."""

    truth: Truth
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Studies decided by one policy and one model.

    ``blind`` are readings of drawn studies that are not flagged, ``volunteered`` counts those of others; ``outdated``
    counts assessed studies that have changed since.
    """

    flagged: int = 0
    not_flagged: int = 0
    not_assessed: int = 0
    drawn: int = 0
    of_flagged: tuple[Reading, ...] = ()
    blind: tuple[Reading, ...] = ()
    volunteered: int = 0
    outdated: int = 0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure that rests on ``n`` readings; ``figure`` is ``None`` where they are too few."""

    n: int
    figure: Bounded | None

    @property
    def note(self) -> str | None:
        """Why there is no figure."""
        return TOO_SMALL if self.figure is None else None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The four figures of some cells taken together."""

    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate


@dataclass(frozen=True, kw_only=True)
class _Rate:
    """How many of a stratum have a finding, from ``count`` readings that are worth ``trials`` equal ones."""

    value: float
    trials: float
    count: int
    findings: int


def figures_of(cells: Sequence[Cell]) -> Figures:
    """Return the figures of these cells taken together; each stands for itself as far as it was read."""
    flagged, rest = sum(cell.flagged for cell in cells), sum(cell.not_flagged for cell in cells)
    hits = _rate((cell.flagged, cell.of_flagged, False) for cell in cells)
    misses = _rate((cell.not_flagged, cell.blind, True) for cell in cells)
    has_flagged, has_blind = hits.count >= FLAGGED_NEEDED, misses.count >= BLIND_NEEDED
    count, findings = hits.count + misses.count, hits.findings + misses.findings
    sensitivity = specificity = None
    if has_flagged and has_blind:
        studies = flagged + rest
        share = flagged / studies
        if findings >= KNOWN_NEEDED:
            sensitivity = part_of_both(
                _of_flagged(share, studies, hits.value, hits.trials),
                proportion(misses.value, misses.trials).times(1 - share),
            )
        if count - findings >= KNOWN_NEEDED:
            specificity = part_of_both(
                proportion(1 - misses.value, misses.trials).times(1 - share),
                _of_flagged(share, studies, 1 - hits.value, hits.trials),
            )
    return Figures(
        sensitivity=Estimate(n=count, figure=sensitivity),
        specificity=Estimate(n=count, figure=specificity),
        ppv=Estimate(n=hits.count, figure=proportion(hits.value, hits.trials) if has_flagged else None),
        npv=Estimate(n=misses.count, figure=proportion(1 - misses.value, misses.trials) if has_blind else None),
    )


def _rate(strata: Iterable[tuple[int, Sequence[Reading], bool]]) -> _Rate:
    """Weigh the certain readings of each cell so that together they stand for its studies (Hájek's estimator).

    The weights sum to the cell's studies, so that drawn studies which nobody has read yet, or only with doubt, do not
    count as without finding. What the weights cost is Kish's effective number (Survey Sampling, 1965, 11.2).
    """
    weighed: list[tuple[float, int, bool]] = []
    for studies, readings, is_drawn in strata:
        alike = Counter(
            (reading.share if is_drawn else 1.0, reading.truth is Truth.FINDING)
            for reading in readings
            if reading.truth is not Truth.UNCERTAIN
        )
        total = sum(count / share for (share, _), count in alike.items())
        weighed += [(studies / share / total, count, is_finding) for (share, is_finding), count in alike.items()]
    total = sum(weight * count for weight, count, _ in weighed)
    if total <= 0:
        return _Rate(value=0.0, trials=0.0, count=0, findings=0)
    return _Rate(
        value=min(sum(weight * count for weight, count, is_finding in weighed if is_finding) / total, 1.0),
        trials=total**2 / sum(weight**2 * count for weight, count, _ in weighed),
        count=sum(count for _, count, _ in weighed),
        findings=sum(count for _, count, is_finding in weighed if is_finding),
    )


def _of_flagged(share: float, studies: int, rate: float, trials: float) -> Bounded:
    """Return which part of all studies is flagged and has what ``rate`` says.

    As a proportion of so many studies as would give its variance, to which that of the *odds* of being flagged belongs:
    what is not flagged is taken as given beside it, because the two shares move against each other. Studies are a
    sample of those to come, so nothing becomes certain by reading all there were.
    """
    value = share * rate
    if value <= 0:
        return proportion(0.0, trials / share)  # the limit
    variance = value**2 * (1 / (studies * share * max(1 - share, 1 / studies)) + (1 - rate) / (rate * trials))
    return proportion(value, value * (1 - value) / variance)
