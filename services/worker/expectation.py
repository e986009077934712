"""How many of the scored films a policy is expected to flag, by what its bundle flagged of the test films.

Of a site's prevalence nothing may be known: then anything between the share of healthy test films flagged and that of
unhealthy ones is as expected. Knows no metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from services.jobs.intervals import Estimate
from services.jobs.operating_tables import OperatingTable

# What is known of a class without test films.
_ANYTHING: Final = Estimate(value=0.5, low=0.0, high=1.0, n=0)


@dataclass(frozen=True, kw_only=True)
class FlagShare:
    """Shares of scored films; ``expected`` is ``None`` where the prevalence is not known."""

    low: float
    high: float
    expected: float | None = None

    @classmethod
    def of(cls, table: OperatingTable | None, threshold: float, *, prevalence: float | None = None) -> Self:
        """Return what a threshold flags of films like those of the table, at this share of unhealthy ones.

        Bounds are the 95 % intervals of both classes, mixed. A class without test films may be flagged wholly or not at
        all.
        """
        caught = cleared = None
        if table is not None:
            caught, cleared = table.sensitivity(threshold), table.specificity(threshold)
        unhealthy, healthy = caught or _ANYTHING, cleared or _ANYTHING
        least, most = 1 - healthy.high, 1 - healthy.low
        if prevalence is None:
            return cls(low=min(least, unhealthy.low), high=max(most, unhealthy.high))
        return cls(
            low=prevalence * unhealthy.low + (1 - prevalence) * least,
            high=prevalence * unhealthy.high + (1 - prevalence) * most,
            expected=None
            if caught is None or cleared is None
            else prevalence * caught.value + (1 - prevalence) * (1 - cleared.value),
        )

    def widened_by(self, other: FlagShare) -> FlagShare:
        """Return the bounds of both; what they expect is no longer one figure."""
        return FlagShare(low=min(self.low, other.low), high=max(self.high, other.high))

    def by_bound(self) -> Iterator[tuple[str, float]]:
        """Yield the figures by their names."""
        yield from (("low", self.low), ("high", self.high))
        if self.expected is not None:
            yield "expected", self.expected
