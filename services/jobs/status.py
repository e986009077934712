"""What the queue and its workers say of themselves, for probes, metrics and the table of served models.

Knows no Redis; ``queue`` asks for it, and ``announce`` stores a worker's words behind Redis' own time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pydantic import TypeAdapter

from services.jobs.records import ModelReference, Priority

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class QueueStatistics:
    """State of the queue at one moment, for probes, Retry-After and metrics.

    ``depth`` counts waiting and held films; ``oldest_open_ms`` says when the oldest open film was submitted
    (milliseconds since the epoch), ``None`` where none is open; ``retrying`` films wait for their next attempt;
    ``open`` is every film without outcome.
    """

    depth: dict[Priority, int]
    oldest_open_ms: dict[Priority, int | None]
    retrying: int
    open: int


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """What a live worker says of itself once a heartbeat.

    ``beat_ms`` is replaced by Redis' clock when announced. ``inputs`` are what the network looks at: the film, and age
    and sex where it takes them. ``operating_points`` are (name, threshold, sensitivity,
    specificity, ...) as the manifest has them, dumped to plain JSON types. What has a default is what a worker of
    0.1.0 serves, which does not say it: while a site upgrades, such a worker must not look as if it were gone.
    """

    consumer: str
    beat_ms: int
    model: ModelReference
    provider: str
    threads: int
    operating_point: str
    threshold: float
    labels: tuple[str, ...]
    operating_points: tuple[dict[str, object], ...]
    precision: str = "fp32"
    has_heatmap: bool = False
    has_embedding_gate: bool = False
    probability_rule: str = "softmax"
    inputs: tuple[str, ...] = ("film",)


_WORKER_STATUS: TypeAdapter[WorkerStatus] = TypeAdapter(WorkerStatus)


def dump_status(status: WorkerStatus) -> str:
    """Return a worker's status as JSON."""
    return _WORKER_STATUS.dump_json(status).decode()


def read_status(text: str) -> WorkerStatus | None:
    """Return what a worker announced, or ``None`` where another version of it speaks of itself in other words."""
    beat_ms, _, status = text.partition("|")
    try:
        fields = _WORKER_STATUS.validate_json(status)
        return WorkerStatus(**{**vars(fields), "beat_ms": int(beat_ms)})
    except ValueError:
        logger.warning("a worker's status cannot be read", extra={"action": "worker_status_unreadable"})
        return None
