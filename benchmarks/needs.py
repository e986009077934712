"""What a place needs that has so many films a day, computed from docs/performance.md. Knows no page of its own.

Nothing here is measured but what a film leaves behind in Redis and in the audit trail, which a test measures again.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.jobs.reconcile import Retention

FIGURES: Final = Path(__file__).resolve().parents[1] / "docs" / "performance.md"

# What a decided film of 14 findings leaves: rounded up from 6.1 kB in Redis, 2.7 kB in the trail, and 0.5 MB of preview
# beside the payload of a CR of 2500 x 3000. tests/end_to_end/test_backup.py measures the first two.
REDIS_BYTES_A_FILM: Final = 8_000
AUDIT_BYTES_A_FILM: Final = 4_000
PICTURES_MB: Final = 0.5
RECORDS_DAYS: Final = 31
AUDIT_YEARS: Final = 6

# What comes in: assumptions, to be replaced by what the site's archive counts.
PEAK_HOUR_SHARE: Final = 0.15  # of a day's films
PEAK_IN_THE_HOUR: Final = 2.0  # the busiest minutes against the hour's mean
UNREAD_SHARE: Final = 0.05  # ends not_assessed, and is kept for 30 days
BUSY: Final = 0.6  # of a core that is planned for, so that a film seldom waits for others
OUTAGE_HOURS: Final = 4.0  # without any worker, in the busiest hours; the deadline, too
MAXMEMORY_MB: Final = 256  # `maxmemory` of deploy/redis.conf
MEMORY_FULL: Final = 0.7  # where the alert RedisMemory speaks
# A T4 scores 415 films a second with a ResNet50 at 224 in fp32 (NVIDIA DeepLearningExamples); one at 512 is 42.8 GFLOP
# instead of 8.2. Not measured by us.
GPU_MS: Final = 1000 / 415 * 42.8 / 8.2
# Share of films, megabytes of one (PERFORMANCE.md B: CR of 2500 x 3000), row of what decoding costs.
MIX: Final = (
    (0.6, 15.0, "raw CR in a decoding child"),
    (0.3, 5.7, "JPEG lossless in a decoding child"),
    (0.1, 5.3, "JPEG 2000 in a decoding child"),
)


@dataclass(frozen=True)
class Place:
    """Somebody who has films."""

    name: str
    films_a_day: int


PLACES: Final = (Place("hospital", 250), Place("region", 5_000), Place("country", 30_000))


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of one film, from the page of figures: milliseconds of a core, megabytes."""

    decoding_ms: float
    shipped_ms: float
    large_ms: float
    beside_ms: float
    gateway_ms: float
    redis_ms: float
    film_mb: float

    @property
    def worker_ms(self) -> float:
        """With the bundle that ships."""
        return self.decoding_ms + self.shipped_ms + self.beside_ms

    @property
    def large_worker_ms(self) -> float:
        """With a ResNet50 at 512 in fp32, the largest network that was measured."""
        return self.decoding_ms + self.large_ms + self.beside_ms


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Of one place."""

    peak: float
    worker_cores: float
    large_cores: float
    gpu_share: float
    gateway_cores: float
    redis_share: float
    megabits: float
    waiting: int
    waiting_gb: float
    catching_up_minutes: float
    spool_gb: float
    redis_mb: float
    maxmemory_mb: int
    audit_gb: float


def measured(row: str) -> tuple[float, str]:
    """Return a figure of docs/performance.md and its note; raise ``LookupError`` where there is no such row."""
    line = rf"^\| {re.escape(row)} \| ([\d.]+) [^|]*\|[^|]*\|[^|]*\| (.*) \|$"
    found = re.search(line, FIGURES.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LookupError(f"docs/performance.md has no figure of {row!r}")
    return float(found[1]), found[2]


def costs() -> Costs:
    """Return what a film costs, as it was measured last."""
    _, gateway = measured("gateway + queue + spool, DICOM of 15 MB, one request that waits")
    shares = re.search(r"gateway ([\d.]+), redis ([\d.]+)", gateway)
    large = re.search(r"([\d.]+) ms of processor time a film", measured("ResNet50 512, cpu fp32, 2 cores")[1])
    if shares is None or large is None:
        raise LookupError("docs/performance.md says its costs in other words than it did")
    return Costs(
        decoding_ms=sum(share * measured(row)[0] for share, _, row in MIX),
        shipped_ms=2 * 1000 / measured("shipped bundle, cpu fp32")[0],
        large_ms=float(large[1]),
        beside_ms=measured("worker beside decoding and inference, a PNG film")[0],
        gateway_ms=float(shares[1]),
        redis_ms=float(shares[2]),
        film_mb=sum(share * megabytes for share, megabytes, _ in MIX),
    )


def needs(place: Place, cost: Costs) -> Needs:
    """Return what a place needs."""
    peak = place.films_a_day * PEAK_HOUR_SHARE / 3600 * PEAK_IN_THE_HOUR
    retention = Retention()
    kept_days = ((1 - UNREAD_SHARE) * retention.scored_seconds + UNREAD_SHARE * retention.unread_seconds) / 86_400
    waiting = math.ceil(place.films_a_day * PEAK_HOUR_SHARE * OUTAGE_HOURS)
    worker_cores = max(2.0, peak * cost.worker_ms / 1000 / BUSY)
    arriving = place.films_a_day * PEAK_HOUR_SHARE / 3600
    redis_mb = place.films_a_day * RECORDS_DAYS * REDIS_BYTES_A_FILM / 1e6
    return Needs(
        peak=peak,
        worker_cores=worker_cores,
        large_cores=max(2.0, peak * cost.large_worker_ms / 1000 / BUSY),
        gpu_share=peak * GPU_MS / 1000,
        gateway_cores=peak * cost.gateway_ms / 1000 / BUSY,
        redis_share=peak * cost.redis_ms / 1000,
        megabits=peak * cost.film_mb * 8,
        waiting=waiting,
        waiting_gb=waiting * cost.film_mb / 1000,
        catching_up_minutes=waiting / (worker_cores * 1000 / cost.worker_ms - arriving) / 60,
        spool_gb=place.films_a_day * kept_days * (cost.film_mb + PICTURES_MB) / 1000,
        redis_mb=redis_mb,
        maxmemory_mb=max(MAXMEMORY_MB, 64 * math.ceil(redis_mb / MEMORY_FULL / 64)),
        audit_gb=place.films_a_day * 365 * AUDIT_YEARS * AUDIT_BYTES_A_FILM / 1e9,
    )
