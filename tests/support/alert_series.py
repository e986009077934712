"""What Prometheus knows of a healthy installation, as series for promtool; faults are told as what differs from it.

Two gateways, two workers, a listener, delivery and Redis' exporter, of one site, by day. A value is a constant, or what
a counter gains in a minute (``PerMinute``); ``text`` is promtool's own notation, where a course is told step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True)
class PerMinute:
    """A counter that gains so much a minute, from ``start`` on."""

    gain: float
    start: float = 0.0


Value: TypeAlias = float | PerMinute | str
Series: TypeAlias = Mapping[str, Value | None]

A: Final = 'job="cxr-api",instance="a:8080"'
B: Final = 'job="cxr-api",instance="b:8080"'
W1: Final = 'job="cxr-worker",instance="w1:9091"'
W2: Final = 'job="cxr-worker",instance="w2:9091"'
DIMSE: Final = 'job="cxr-dimse",instance="dimse:9092"'
DELIVERY: Final = 'job="cxr-delivery",instance="deliver:9093"'
REDIS: Final = 'job="redis",instance="redis-exporter:9121"'
# Sites are decided by this policy, of this bundle.
DECIDED: Final = 'site="radiology",model="0123456789ab",policy="sens95/0"'
LONG_AGO: Final = -90 * 86400.0
FAR_AHEAD: Final = 300 * 86400.0


def _gateway(labels: str) -> dict[str, Value | None]:
    codes = ("queue_full", "queue_unavailable", "spool_full", "spool_unavailable", "record_corrupt")
    codes += ("unauthenticated", "too_many_failures", "forbidden", "site_not_allowed", "foreign_origin")
    return {
        f"up{{{labels}}}": 1,
        f"process_start_time_seconds{{{labels}}}": LONG_AGO,
        f"cxr_queue_up{{{labels}}}": 1,
        f"cxr_workers_live{{{labels}}}": 2,
        f"cxr_queue_open_films{{{labels}}}": 3,
        f'cxr_queue_depth{{{labels},lane="stat"}}': 1,
        f'cxr_queue_depth{{{labels},lane="routine"}}': 2,
        f'cxr_queue_depth_limit{{{labels},lane="routine"}}': 1000,
        f'cxr_queue_depth_limit{{{labels},lane="stat"}}': 1200,
        f'cxr_queue_oldest_age_seconds{{{labels},lane="stat"}}': 1,
        f'cxr_queue_oldest_age_seconds{{{labels},lane="routine"}}': 4,
        f"cxr_queue_open_bytes{{{labels}}}": 1e7,
        f"cxr_queue_open_bytes_limit{{{labels}}}": 1e9,
        f"cxr_queue_dead_films{{{labels}}}": 7,
        f"cxr_ledger_oldest_due_age_seconds{{{labels}}}": 0,
        f"cxr_audit_writable{{{labels}}}": 1,
        f"cxr_audit_free_ratio{{{labels}}}": 0.6,
        f"cxr_spool_payload_bytes{{{labels}}}": 1e9,
        f"cxr_spool_quota_bytes{{{labels}}}": 1e10,
        f"cxr_spool_free_ratio{{{labels}}}": 0.6,
        f"cxr_keys_file_good{{{labels}}}": 1,
        f"cxr_keys_valid{{{labels}}}": 4,
        f"cxr_keys_first_expiry_timestamp_seconds{{{labels}}}": FAR_AHEAD,
        f'cxr_assessments_total{{{labels},site="radiology",verdict="agree"}}': PerMinute(0.01),
        f'cxr_assessments_total{{{labels},site="radiology",verdict="disagree"}}': PerMinute(0.0008),
        f'cxr_blind_waiting_studies{{{labels},site="radiology"}}': 3,
    } | {f'cxr_rejections_total{{{labels},code="{code}"}}': 5 for code in codes}


def _worker(labels: str) -> dict[str, Value | None]:
    gates: dict[str, Value | None] = {
        f'cxr_gate_total{{{labels},reason="{reason}"}}': 0
        for reason in ("worker_crash", "retries_exhausted", "payload_digest", "blank")
    }
    return gates | {
        f'cxr_gate_total{{{labels},reason="view"}}': PerMinute(0.2),
        f"up{{{labels}}}": 1,
        f"process_start_time_seconds{{{labels}}}": LONG_AGO,
        f"cxr_worker_ready{{{labels}}}": 1,
        f"cxr_worker_heartbeat_timestamp_seconds{{{labels}}}": PerMinute(60),
        f"cxr_policies_read_timestamp_seconds{{{labels}}}": PerMinute(60),
        f"cxr_audit_writable{{{labels}}}": 1,
        f'cxr_decisions_total{{{labels},{DECIDED},outcome="flagged"}}': PerMinute(1),
        f'cxr_decisions_total{{{labels},{DECIDED},outcome="not_flagged"}}': PerMinute(0.8),
        f'cxr_policy_flag_share{{{labels},{DECIDED},bound="low"}}': 0.2,
        f'cxr_policy_flag_share{{{labels},{DECIDED},bound="high"}}': 0.7,
        f'cxr_end_to_end_duration_seconds_count{{{labels},lane="stat"}}': PerMinute(0.5),
        f'cxr_end_to_end_duration_seconds_count{{{labels},lane="routine"}}': PerMinute(1.5),
        f'cxr_end_to_end_duration_seconds_bucket{{{labels},lane="routine",le="30"}}': PerMinute(1.5),
        f'cxr_end_to_end_duration_seconds_bucket{{{labels},lane="routine",le="60"}}': PerMinute(1.5),
        f'cxr_end_to_end_duration_seconds_bucket{{{labels},lane="routine",le="120"}}': PerMinute(1.5),
        f'cxr_end_to_end_duration_seconds_bucket{{{labels},lane="routine",le="+Inf"}}': PerMinute(1.5),
        f'cxr_model_info{{{labels},digest="0123456789ab",role="serving"}}': 1,
        f'cxr_bundles_refused_total{{{labels},code="bundle_corrupt"}}': 0,
        f'cxr_retries_total{{{labels},code="inference_error"}}': 2,
        f'cxr_pictures_lost_total{{{labels},picture="preview",code="spool_full"}}': 2,
        f'cxr_psi{{{labels},digest="0123456789ab"}}': 0.08,
        f'cxr_psi_films{{{labels},digest="0123456789ab"}}': 800,
        f'cxr_psi_reference_films{{{labels},digest="0123456789ab"}}': 160,
    }


HEALTHY: Final[Series] = (
    _gateway(A)
    | _gateway(B)
    | _worker(W1)
    | _worker(W2)
    | {
        f"up{{{DIMSE}}}": 1,
        f"process_start_time_seconds{{{DIMSE}}}": LONG_AGO,
        f"cxr_dimse_ready{{{DIMSE}}}": 1,
        f"cxr_audit_writable{{{DIMSE}}}": 1,
        f'cxr_dimse_associations_total{{{DIMSE},end="established"}}': PerMinute(3),
        f'cxr_dimse_associations_total{{{DIMSE},end="aborted"}}': PerMinute(20),
        f"up{{{DELIVERY}}}": 1,
        f"process_start_time_seconds{{{DELIVERY}}}": LONG_AGO,
        f"cxr_delivery_ready{{{DELIVERY}}}": 1,
        f"cxr_audit_writable{{{DELIVERY}}}": 1,
        f'cxr_outbox_oldest_age_seconds{{{DELIVERY},sink="archive"}}': 2,
        f'cxr_delivery_dead_letters{{{DELIVERY},target="archive"}}': 0,
        f'cxr_delivery_target_disabled{{{DELIVERY},target="archive"}}': 0,
        f"up{{{REDIS}}}": 1,
        f"redis_up{{{REDIS}}}": 1,
        f"redis_aof_enabled{{{REDIS}}}": 1,
        f"redis_aof_last_write_status{{{REDIS}}}": 1,
        f"redis_aof_last_bgrewrite_status{{{REDIS}}}": 1,
        f"redis_rdb_last_bgsave_status{{{REDIS}}}": 1,
        f"redis_memory_used_bytes{{{REDIS}}}": 5e7,
        f"redis_memory_max_bytes{{{REDIS}}}": 2.5e8,
    }
)


def without(*parts: str) -> dict[str, Value | None]:
    """Take away every series of the healthy installation with one of these in its name or labels."""
    return {name: None for name in HEALTHY if any(part in name for part in parts)}


def both(name: str, value: Value | None) -> dict[str, Value | None]:
    """Let both gateways say the same of Redis; ``name`` may carry labels."""
    metric, _, labels = name.partition("{")
    return {f"{metric}{{{gateway}{',' + labels if labels else '}'}": value for gateway in (A, B)}


def input_series(series: Series, *, minutes_apart: float, steps: int) -> list[dict[str, str]]:
    """Return promtool's ``input_series``: so many steps after the first, each so far from the one before."""
    return [
        {"series": name, "values": _values(value, minutes_apart, steps)}
        for name, value in (dict(HEALTHY) | dict(series)).items()
        if value is not None
    ]


def _values(value: Value, minutes_apart: float, steps: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, PerMinute):
        return f"{value.start:.10g}{value.gain * minutes_apart:+.10g}x{steps}"
    return f"{value:.10g}+0x{steps}"
