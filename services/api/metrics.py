"""Every metric of the gateway; none is declared elsewhere. Labels come from closed sets, never from callers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from services.jobs.limits import QueueLimits
from services.jobs.quota import Usage
from services.jobs.records import Priority
from services.jobs.standings import Verdict
from services.jobs.status import QueueStatistics

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SOURCE_HTTP: Final = "http"
SOURCE_STOW: Final = "stow"
ACCEPTED: Final = "accepted"
KNOWN: Final = "known"
KEY_OBJECT: Final = "key_object"
OTHER_SITE: Final = "other"
UNSURE: Final = "unsure"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_BYTES: Final = tuple(float(2**power) for power in range(12, 27, 2))
# What alerts ask for is there from the first scrape on: a counter that appears with its first event hides that event.
_ALARMING_CODES: Final = (
    *("queue_full", "queue_unavailable", "spool_full", "spool_unavailable", "record_corrupt"),
    *("unauthenticated", "too_many_failures", "forbidden", "site_not_allowed", "foreign_origin"),
)


@dataclass(frozen=True, kw_only=True)
class KeysState:
    """Whether the keys file is well, how many keys open, and when the first of them expires, if any does."""

    is_file_good: bool
    valid: int
    first_expiry: datetime | None


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a scrape finds around the gateway.

    Attributes
    ----------
    statistics, live_workers
        ``None`` where Redis did not answer: an old depth is a wrong depth.
    not_ready
        Code of the problem that keeps films from being accepted; ``None`` where nothing does.
    spool, spool_free_ratio
        What the spool holds, as far as this process knows, and how much of its disk is free (``None``: unreadable).
    is_audit_writable, audit_waiting, audit_free_ratio
        Whether this process's audit trail takes entries, how many wait for it, and how much of its disk is free.
    """

    statistics: QueueStatistics | None
    live_workers: int | None
    not_ready: str | None
    spool: Usage
    spool_free_ratio: float | None
    is_audit_writable: bool
    audit_waiting: int
    audit_free_ratio: float | None


class GatewayMetrics:
    """Counters of one gateway process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.images_received = Counter(
            "cxr_images_received_total",
            "Films that arrived: accepted, known already, or refused with this code.",
            ["source", "code"],
            registry=self._registry,
        )
        self.rejections = Counter(
            "cxr_rejections_total", "Requests answered with a problem of this code.", ["code"], registry=self._registry
        )
        for code in _ALARMING_CODES:
            self.rejections.labels(code)
        self.payload_bytes = Histogram(
            "cxr_payload_size_bytes", "Size of accepted payloads.", buckets=_BYTES, registry=self._registry
        )
        self._request_duration = Histogram(
            "cxr_http_request_duration_seconds",
            "Time from the request's headers to the end of its response, long polls included.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._durations: dict[tuple[str, str, int], Histogram] = {}
        self.connections_cut = Counter(
            "cxr_connections_cut_total", "Connections ended because an answer was not read.", registry=self._registry
        )
        self._assessments, self._blind_waiting = _of_readers(self._registry)
        self._sites: frozenset[str] = frozenset()
        self.uploads_in_flight = Gauge("cxr_uploads_in_flight", "Payloads being received now.", registry=self._registry)
        self.event_streams = Gauge("cxr_event_streams", "Event streams open now.", registry=self._registry)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note how long a request took; looked up here, as the library checks its labels anew each time."""
        series = method, route, status
        if series not in self._durations:
            self._durations[series] = self._request_duration.labels(*series)
        self._durations[series].observe(seconds)

    def name_sites(self, sites: Iterable[str]) -> None:
        """Say which sites metrics name; all others count as `other`. Once, at start."""
        self._sites = frozenset(sites)
        for site in (*sorted(self._sites), OTHER_SITE):
            for verdict in (*Verdict, UNSURE):
                self._assessments.labels(site, verdict)

    def count_assessment(self, site: str, verdict: Verdict | None) -> None:
        """Count a reader's word on a study."""
        self._assessments.labels(self._named(site), verdict or UNSURE).inc()

    def show_waiting(self, waiting: Mapping[str, int]) -> None:
        """Say how many studies of each site wait to be read blind."""
        self._blind_waiting.clear()
        for site in (*sorted(self._sites), OTHER_SITE) if waiting else ():
            self._blind_waiting.labels(site).set(0)
        for site, studies in waiting.items():
            self._blind_waiting.labels(self._named(site)).inc(studies)

    def _named(self, site: str) -> str:
        return site if site in self._sites else OTHER_SITE

    def watch_keys(self, state: Callable[[], KeysState]) -> None:
        """Say at every scrape how the keys are; an open gateway has none to speak of."""
        self._registry.register(_Keys(state))

    def publish_limits(self, limits: QueueLimits, *, spool_bytes: int) -> None:
        """Say where this gateway begins to refuse, so that alerts need no numbers of their own; once, at start."""
        depth = Gauge("cxr_queue_depth_limit", "Depth at which films are refused.", ["lane"], registry=self._registry)
        for lane in Priority:
            depth.labels(lane).set(limits.depth(lane))
        open_bytes = Gauge(
            "cxr_queue_open_bytes_limit", "Bytes of open films at which more are refused.", registry=self._registry
        )
        open_bytes.set(limits.open_bytes)
        quota = Gauge("cxr_spool_quota_bytes", "Bytes of payloads that the spool takes.", registry=self._registry)
        quota.set(spool_bytes)

    def exposition(self, around: Surroundings | None) -> bytes:
        """Return the Prometheus text: this process's counters, and what is around it now where somebody looked."""
        now = CollectorRegistry()
        if around is not None:
            now.register(_Around(around))
        return generate_latest(self._registry) + generate_latest(now)


def _of_readers(registry: CollectorRegistry) -> tuple[Counter, Gauge]:
    """Return the assessments by site and verdict, and how many studies of a site wait to be read blind."""
    assessments = Counter(
        "cxr_assessments_total",
        "Assessments of studies, by what readers thought of the outcome; `unsure` where they did not know.",
        ["site", "verdict"],
        registry=registry,
    )
    blind_waiting = Gauge(
        "cxr_blind_waiting_studies",
        "Studies that wait to be read without their outcome; none where Redis did not answer.",
        ["site"],
        registry=registry,
    )
    return assessments, blind_waiting


class _Keys(Collector):
    def __init__(self, state: Callable[[], KeysState]) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        state = self._state()
        good = GaugeMetricFamily(
            "cxr_keys_file_good", "Whether the keys file was readable at the last look; the keys known before count."
        )
        good.add_metric([], float(state.is_file_good))
        valid = GaugeMetricFamily("cxr_keys_valid", "Keys that open the gateway now; with none nobody gets in.")
        valid.add_metric([], state.valid)
        yield from (good, valid)
        if state.first_expiry is not None:
            expiry = GaugeMetricFamily("cxr_keys_first_expiry_timestamp_seconds", "When the next key expires.")
            expiry.add_metric([], state.first_expiry.timestamp())
            yield expiry


class _Around(Collector):
    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def collect(self) -> Iterable[Metric]:
        around = self._around
        yield _gauge("cxr_queue_up", "Whether Redis answered this scrape.", float(around.statistics is not None))
        yield _gauge(
            "cxr_gateway_ready", "Whether a film could be accepted durably now.", float(around.not_ready is None)
        )
        not_ready = GaugeMetricFamily("cxr_gateway_not_ready", "Why it could not; 1 for the code.", labels=["code"])
        if around.not_ready is not None:
            not_ready.add_metric([around.not_ready], 1.0)
        yield not_ready
        yield _gauge("cxr_spool_payload_bytes", "Payloads in the spool, as counted here.", around.spool.payload_bytes)
        yield _gauge("cxr_spool_picture_bytes", "Pictures in the spool, as counted here.", around.spool.picture_bytes)
        if around.spool_free_ratio is not None:
            yield _gauge("cxr_spool_free_ratio", "Free part of the spool's disk.", around.spool_free_ratio)
        yield _gauge(
            "cxr_audit_writable", "Whether the last write to the audit trail worked.", float(around.is_audit_writable)
        )
        yield _gauge("cxr_audit_waiting_entries", "Audit entries not on the disk yet.", around.audit_waiting)
        if around.audit_free_ratio is not None:
            yield _gauge("cxr_audit_free_ratio", "Free part of the audit trail's disk.", around.audit_free_ratio)
        if around.live_workers is not None:
            yield _gauge("cxr_workers_live", "Workers that announced themselves lately.", around.live_workers)
        if around.statistics is not None:
            yield from _queue_state(around.statistics)


def _queue_state(statistics: QueueStatistics) -> Iterable[Metric]:
    depth = GaugeMetricFamily("cxr_queue_depth", "Films waiting or being scored.", labels=["lane"])
    for lane, films in statistics.depth.items():
        depth.add_metric([lane], films)
    yield depth
    oldest = GaugeMetricFamily(
        "cxr_queue_oldest_age_seconds", "Age of the oldest film without an outcome; 0 if none.", labels=["lane"]
    )
    for lane, submitted_ms in statistics.oldest_open_ms.items():
        oldest.add_metric([lane], _age_seconds(submitted_ms))
    yield oldest
    yield _gauge("cxr_queue_retrying", "Films waiting for their next attempt.", statistics.retrying)
    yield _gauge("cxr_queue_open_films", "Films without an outcome.", statistics.open)
    yield _gauge("cxr_queue_open_bytes", "Payload bytes of films without an outcome.", statistics.open_bytes)
    yield _gauge("cxr_queue_dead_films", "Entries of `cxr-triage dead list`.", statistics.dead)
    yield _gauge("cxr_ledger_due_films", "Outcomes that are not in the audit ledger yet.", statistics.ledger_due)
    yield _gauge(
        "cxr_ledger_oldest_due_age_seconds",
        "For how long the oldest of them has waited; 0 if none.",
        _age_seconds(statistics.oldest_ledger_due_ms),
    )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _age_seconds(since_ms: int | None) -> float:
    """Return an age; hosts disagree on the time by a little, an age is never negative."""
    return 0.0 if since_ms is None else max(0.0, time.time() - since_ms / 1000)
