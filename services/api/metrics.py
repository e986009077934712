"""Every metric of the gateway; none is declared elsewhere. Labels come from closed sets, never from callers."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from services.jobs.status import QueueStatistics

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SOURCE_HTTP: Final = "http"
ACCEPTED: Final = "accepted"
KNOWN: Final = "known"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_BYTES: Final = tuple(float(2**power) for power in range(12, 27, 2))


class GatewayMetrics:
    """Counters of one gateway process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.images_received = Counter(
            "cxr_images_received_total",
            "Films that arrived: accepted, known already, or refused with this code.",
            ["source", "code"],
            registry=self._registry,
        )
        self.rejections = Counter(
            "cxr_rejections_total", "Requests answered with a problem of this code.", ["code"], registry=self._registry
        )
        self.payload_bytes = Histogram(
            "cxr_payload_size_bytes", "Size of accepted payloads.", buckets=_BYTES, registry=self._registry
        )
        self.request_duration = Histogram(
            "cxr_http_request_duration_seconds",
            "Time from the request's headers to the end of its response, long polls included.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.uploads_in_flight = Gauge("cxr_uploads_in_flight", "Payloads being received now.", registry=self._registry)

    def exposition(self, statistics: QueueStatistics | None) -> bytes:
        """Return the Prometheus text; queue gauges only if Redis answered, because an old depth is a wrong depth."""
        queue = CollectorRegistry()
        queue.register(_QueueState(statistics))
        return generate_latest(self._registry) + generate_latest(queue)


class _QueueState(Collector):
    def __init__(self, statistics: QueueStatistics | None) -> None:
        self._statistics = statistics

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("cxr_queue_up", "Whether Redis answered this scrape.")
        up.add_metric([], float(self._statistics is not None))
        yield up
        if self._statistics is None:
            return
        depth = GaugeMetricFamily("cxr_queue_depth", "Films waiting or being scored.", labels=["lane"])
        oldest = GaugeMetricFamily(
            "cxr_queue_oldest_age_seconds", "Age of the oldest film without an outcome; 0 if none.", labels=["lane"]
        )
        for lane, films in self._statistics.depth.items():
            depth.add_metric([lane], films)
        now = time.time()
        for lane, submitted_ms in self._statistics.oldest_open_ms.items():
            # Hosts disagree on the time by a little; an age is never negative.
            oldest.add_metric([lane], 0.0 if submitted_ms is None else max(0.0, now - submitted_ms / 1000))
        retrying = GaugeMetricFamily("cxr_queue_retrying", "Films waiting for their next attempt.")
        retrying.add_metric([], self._statistics.retrying)
        yield from (depth, oldest, retrying)
