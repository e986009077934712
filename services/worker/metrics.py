"""Every metric of the worker; declared here and nowhere else (PROTOCOLS.md §5).

Label values come from closed sets of ours: stages, reasons, outcomes, priorities, the bundles that are loaded, and the
sites that the settings name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from model.decision import Decision
from services.jobs.records import ModelReference, Priority

_SCORE_BUCKETS: Final = tuple(round(0.05 * step, 2) for step in range(1, 21))
_STAGE_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_WAIT_BUCKETS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0)
_OTHER_SITES: Final = "other"

GATE = Counter("cxr_gate_total", "Films that ended not_assessed, by reason.", ["reason"])
DECISIONS = Counter(
    "cxr_decisions_total", "Films that got an outcome from this worker.", ["site", "outcome", "model", "policy"]
)
SCORE = Histogram("cxr_score", "Calibrated probability of unhealthy of scored films.", buckets=_SCORE_BUCKETS)
STAGE_DURATION = Histogram(
    "cxr_stage_duration_seconds", "Time a film spent in a stage.", ["stage"], buckets=_STAGE_BUCKETS
)
END_TO_END_DURATION = Histogram(
    "cxr_end_to_end_duration_seconds", "From the whole upload to the outcome.", ["lane"], buckets=_WAIT_BUCKETS
)
BATCH_SIZE = Histogram("cxr_batch_size", "Films per inference.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
RETRIES = Counter("cxr_retries_total", "Transient failures after which a film waits for another attempt.", ["code"])
PICTURES_LOST = Counter(
    "cxr_pictures_lost_total",
    "Previews and heat maps that could not be kept; their films lost nothing else.",
    ["picture", "code"],
)
HEARTBEAT = Gauge("cxr_worker_heartbeat_timestamp_seconds", "When this worker last kept its films alive.")
IN_FLIGHT = Gauge("cxr_worker_in_flight_films", "Films this worker holds.")
AUDIT_WRITABLE = Gauge("cxr_audit_writable", "Whether the last write to the audit trail worked.")
READY = Gauge("cxr_worker_ready", "1 while the worker may be counted on, else 0.")
MODEL_INFO = Gauge(
    "cxr_model_info",
    "Bundles that are loaded: the one that is serving, and a candidate; always 1.",
    ["digest", "role", "name", "version", "provider", "precision"],
)
BUNDLES_REFUSED = Counter("cxr_bundles_refused_total", "Candidate bundles that this worker refused.", ["code"])
WORKER_INFO = Gauge(
    "cxr_worker_info", "How this worker was started; always 1.", ["provider", "threads", "decoders", "sandbox"]
)


@dataclass(frozen=True, kw_only=True)
class ShownBundle:
    """A loaded bundle as metrics show it: what it is called, where it runs, and what it is computed in."""

    model: ModelReference
    provider: str
    precision: str


# Set once, at start. Sites are named by whoever holds a key, so that a scrape could grow without end.
_named_sites: frozenset[str] = frozenset()


def short(digest: str) -> str:
    """Return the part of a digest that suffices to tell bundles apart in a label."""
    return digest[:12]


def name_sites(sites: Iterable[str]) -> None:
    """Count the films of these sites under their names; those of others are counted as ``other``."""
    global _named_sites
    _named_sites = frozenset(sites)


def show_bundles(*, serving: ShownBundle, candidate: ShownBundle | None = None) -> None:
    """Publish which bundles are loaded, and nothing of those before."""
    MODEL_INFO.clear()
    for role, shown in (("serving", serving), ("candidate", candidate)):
        if shown is not None:
            model = shown.model
            MODEL_INFO.labels(
                short(model.digest), role, model.name, model.version, shown.provider, shown.precision
            ).set(1)


def describe(*, provider: str, threads: int, decoders: int, sandbox: str) -> None:
    """Publish how this worker runs; once, at start."""
    WORKER_INFO.labels(provider, str(threads), str(decoders), sandbox).set(1)


def observe_stages(**milliseconds: float | None) -> None:
    """Record how long a film was in each stage; ``None`` where it did not get there."""
    for stage, duration in milliseconds.items():
        if duration is not None:
            STAGE_DURATION.labels(stage).observe(duration / 1000)


def count_decision(
    decision: Decision, *, site: str, priority: Priority, model: ModelReference, total_ms: float
) -> None:
    """Count one finished film; call it only where this worker's finish was the one that counted."""
    policy = f"{decision.policy.name}/{decision.policy.version}" if decision.policy else ""
    DECISIONS.labels(
        site if site in _named_sites else _OTHER_SITES, decision.outcome, short(model.digest), policy
    ).inc()
    END_TO_END_DURATION.labels(priority).observe(total_ms / 1000)
    if decision.reason is not None:
        GATE.labels(decision.reason).inc()
    if decision.probability is not None:
        SCORE.observe(decision.probability)
