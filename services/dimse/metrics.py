"""Every metric of the DIMSE listener; declared here and nowhere else (PROTOCOLS §5).

Labels come from closed sets of ours, never from the network: codes and ends, no AE titles.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

# Its own: the worker's, in the registry of the library, has metrics of the same names.
REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

SOURCE: Final = "dimse"
ACCEPTED: Final = "accepted"
KNOWN: Final = "known"
NOTED: Final = "noted"
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_BYTES: Final = tuple(float(2**power) for power in range(12, 27, 2))

IMAGES_RECEIVED: Final = Counter(
    "cxr_images_received_total",
    "Films that arrived: accepted, known already, or refused with this code.",
    ["source", "code"],
    registry=REGISTRY,
)
PAYLOAD_BYTES: Final = Histogram(
    "cxr_payload_size_bytes", "Size of accepted payloads.", buckets=_BYTES, registry=REGISTRY
)
STORE_DURATION: Final = Histogram(
    "cxr_dimse_store_duration_seconds", "From a film's last byte to its answer.", buckets=_SECONDS, registry=REGISTRY
)
ASSOCIATIONS: Final = Counter(
    "cxr_dimse_associations_total",
    "Associations: established, and how others ended before.",
    ["end"],
    registry=REGISTRY,
)
OPEN_ASSOCIATIONS: Final = Gauge("cxr_dimse_open_associations", "Associations open now.", registry=REGISTRY)
READY: Final = Gauge("cxr_dimse_ready", "1 while films are taken, else 0.", registry=REGISTRY)
AUDIT_WRITABLE: Final = Gauge(
    "cxr_audit_writable", "Whether the last write to the audit trail worked.", registry=REGISTRY
)
