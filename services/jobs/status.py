"""What the queue and its workers say of themselves, for probes, metrics and the table of served models.

Knows no Redis; ``queue`` asks for it, and ``announce`` stores a worker's words behind Redis' own time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum

from pydantic import TypeAdapter

from services.jobs.records import ModelReference, Priority

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class QueueStatistics:
    """State of the queue at one moment, for probes, Retry-After and metrics.

    ``depth`` counts waiting and held films; ``oldest_open_ms`` says since when the oldest one is open, by Redis' clock
    (milliseconds since the epoch; ``None`` where none is open); ``retrying`` films wait for their next attempt;
    ``open`` is every film without outcome, ``open_bytes`` their payloads; ``dead`` is how many ended by our fault, as
    far as the list goes back; ``ledger_due`` outcomes are not in the audit ledger yet, the first of them
    made at ``oldest_ledger_due_ms`` (``None`` where all are there).
    """

    depth: dict[Priority, int]
    oldest_open_ms: dict[Priority, int | None]
    retrying: int
    open: int
    open_bytes: int
    dead: int
    ledger_due: int
    oldest_ledger_due_ms: int | None


class PreparationState(StrEnum):
    """How far a worker is with a candidate."""

    PREPARING = "preparing"
    PREPARED = "prepared"  # loaded, and its golden inputs score here as they should
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How a candidate bundle fares in one worker.

    ``attempt`` names the activation that asked for it; ``code`` and ``detail`` say why it was refused.
    """

    attempt: str
    digest: str
    state: PreparationState
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """What a live worker says of itself once a heartbeat.

    ``beat_ms`` is replaced by Redis' clock when announced. ``inputs`` are what the network looks at: the film, and age
    and sex where it takes them. ``operating_points`` are (name, threshold, sensitivity,
    specificity, ...) as the manifest has them, dumped to plain JSON types. What has a default is what a worker of
    0.1.0 serves, which does not say it: while a site upgrades, such a worker must not look as if it were gone.
    ``precision`` is the bundle's, ``inference_precision`` what this worker computes it in; ``None``, where it does not
    say, is the bundle's.
    ``preparation`` is what became of the last candidate that it was asked to prepare. ``sandbox`` is what confines its
    decoding children: ``seccomp``, or ``limits`` alone.
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
    inference_precision: str | None = None
    has_heatmap: bool = False
    has_embedding_gate: bool = False
    probability_rule: str = "softmax"
    inputs: tuple[str, ...] = ("film",)
    sandbox: str = "limits"
    preparation: Preparation | None = None


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
