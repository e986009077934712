"""Every metric of delivery; declared here and nowhere else (PROTOCOLS.md §5).

In a registry of its own, because other processes of ours have metrics of the same name. Label values come from closed
sets: targets are those of the operator's file, outcomes are ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from services.jobs.deliveries import TargetStanding

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


class Attempt(StrEnum):
    """How one attempt ended; what each means for the result is in ``target_loop``."""

    DELIVERED = "delivered"
    NOTHING_TO_SEND = "nothing_to_send"  # filtered out, or not a DICOM film
    RETRIED = "retried"  # failed, and comes again
    DEAD = "dead"  # refused for good, or failed too often: a dead letter
    GIVEN_BACK = "given_back"  # neither done nor failed: we were told to stop, or the target is disabled


OLDEST_AGE: Final = Gauge(
    "cxr_outbox_oldest_age_seconds",
    "Age of the oldest result that a target has not got; 0 while it has all.",
    ["sink"],
    registry=REGISTRY,
)
WAITING: Final = Gauge("cxr_outbox_depth", "Results that a target has not got yet.", ["sink"], registry=REGISTRY)
DEAD_LETTERS: Final = Gauge(
    "cxr_delivery_dead_letters",
    "Results that were given up; `cxr-triage delivery list`.",
    ["target"],
    registry=REGISTRY,
)
DISABLED: Final = Gauge(
    "cxr_delivery_target_disabled", "1 while a target is disabled, by HTTP 410, else 0.", ["target"], registry=REGISTRY
)
CIRCUIT_OPEN: Final = Gauge(
    "cxr_delivery_circuit_open", "1 while a target gets one probe at a time, else 0.", ["target"], registry=REGISTRY
)
DELIVERIES: Final = Counter(
    "cxr_deliveries_total", "Attempts at results, by how they ended.", ["target", "outcome"], registry=REGISTRY
)
DURATION: Final = Histogram(
    "cxr_delivery_duration_seconds",
    "One attempt at one result, objects made and sent.",
    ["target"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
    registry=REGISTRY,
)
AUDIT_WRITABLE: Final = Gauge(
    "cxr_audit_writable", "Whether the last write to the audit trail worked.", registry=REGISTRY
)
READY: Final = Gauge("cxr_delivery_ready", "1 while delivery works and Redis answers, else 0.", registry=REGISTRY)


def name_targets(targets: Iterable[str]) -> None:
    """Show every target from the start: a counter that appears with its first failure hides that failure."""
    for target in targets:
        CIRCUIT_OPEN.labels(target).set(0)
        for attempt in Attempt:
            DELIVERIES.labels(target, attempt)


def show_standings(standings: Collection[TargetStanding]) -> None:
    """Publish how far behind each target is; of those that are announced no more `delivery list` tells."""
    for standing in standings:
        if not standing.is_announced:
            continue
        age_ms = 0 if standing.oldest_owed_ms is None else max(0, standing.now_ms - standing.oldest_owed_ms)
        OLDEST_AGE.labels(standing.name).set(age_ms / 1000)
        WAITING.labels(standing.name).set(standing.due)
        DEAD_LETTERS.labels(standing.name).set(standing.dead)
        DISABLED.labels(standing.name).set(standing.disabled_reason is not None)
