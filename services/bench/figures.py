"""What a run amounts to: how many films a second, how long they took, what became of them. Pure arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from services.bench.load import Run, Sample


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Percentiles in milliseconds of ``count`` latencies: each is one that was measured, none is interpolated."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency | None:
        """Return the percentiles of these latencies, ``None`` where there are none."""
        if not seconds:
            return None
        p50, p90, p99, longest = np.percentile(seconds, (50, 90, 99, 100), method="higher") * 1000
        return cls(count=len(seconds), p50=float(p50), p90=float(p90), p99=float(p99), max=float(longest))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A run, after its warm-up.

    Attributes
    ----------
    sent, ended
        Films that were due, and how often each end came about: outcomes, and codes of errors.
    failed
        How many of them ended otherwise than with an outcome. They count in no latency and no rate.
    seconds
        How long films were sent.
    per_second
        Films that ended well in that time, for each second of it.
    accept, outcome
        From the time a film was due until it was taken, and until it had its outcome.
    lag
        How late the generator itself sent films; where this is not small against the others, it was too slow.
    """

    sent: int
    ended: dict[str, int]
    failed: int
    seconds: float
    per_second: float
    accept: Latency | None
    outcome: Latency | None
    lag: Latency | None

    @classmethod
    def of(cls, run: Run, *, warm_up_seconds: float = 0.0) -> Measured:
        """Return what ``run`` amounts to, without the films that were due in its first ``warm_up_seconds``."""
        counted = [sample for sample in run.samples if sample.due >= warm_up_seconds]
        good = [sample for sample in counted if sample.is_good]
        seconds = max(run.seconds - warm_up_seconds, 0.0)
        # Those that were on their way when counting began make up for those that are when it ends.
        finished = [
            sample for sample in run.samples if sample.is_good and warm_up_seconds <= sample.ended <= run.seconds
        ]
        return cls(
            sent=len(counted),
            ended=dict(Counter(sample.kind for sample in counted).most_common()),
            failed=len(counted) - len(good),
            seconds=seconds,
            per_second=len(finished) / seconds if seconds else 0.0,
            accept=Latency.of([sample.accepted - sample.due for sample in good if sample.accepted is not None]),
            outcome=Latency.of([sample.ended - sample.due for sample in good]),
            lag=Latency.of([sample.sent - sample.due for sample in counted]),
        )

    @classmethod
    def of_some(cls, ended: Sequence[Sample], *, warm_up_seconds: float = 0.0) -> Measured:
        """Return what a run amounts to that was ended early: the films that had ended, until the last of them."""
        seconds = max((sample.ended for sample in ended), default=0.0)
        return cls.of(Run(samples=tuple(ended), seconds=seconds), warm_up_seconds=warm_up_seconds)

    def document(self) -> dict[str, object]:
        """Return it as JSON takes it."""
        return asdict(self)
