"""Faults of workers and services, and of what keeps films: Redis, spool, audit trail."""

from __future__ import annotations

from typing import Final

from tests.support.alert_faults.case import calm, counters, fires, held_by
from tests.support.alert_series import DELIVERY, DIMSE, REDIS, W1, A, PerMinute, both

WORKERS: Final = (
    fires("NoWorker", "none has announced itself", both("cxr_workers_live", 0)),
    calm("NoWorker", "one is left", both("cxr_workers_live", 1)),
    fires("WorkerNotReady", "one takes nothing", {f"cxr_worker_ready{{{W1}}}": 0}, held_by(W1)),
    calm("WorkerNotReady", "it starts", {f"cxr_worker_ready{{{W1}}}": "1+0x28 0+0x1"}),
    fires(
        "HeartbeatStale",
        "it stands still",
        {f"cxr_worker_heartbeat_timestamp_seconds{{{W1}}}": 900},
        held_by(W1),
        minutes_apart=0.25,
    ),
    calm(
        "HeartbeatStale",
        "its host's clock is an hour behind",
        {f"cxr_worker_heartbeat_timestamp_seconds{{{W1}}}": PerMinute(60, start=-3600)},
        minutes_apart=0.25,
    ),
    calm(
        "HeartbeatStale",
        "Redis is away, so no worker's moves",
        both("cxr_queue_up", 0) | counters("cxr_worker_heartbeat", 900),
        also="RedisDown",
        minutes_apart=0.25,
    ),
    fires(
        "WorkersRestart",
        "five times in a quarter of an hour",
        {f"process_start_time_seconds{{{W1}}}": "0+0x15 60+60x5 360+0x9"},
        held_by(W1),
    ),
    calm(
        "WorkersRestart",
        "three times: an upgrade, twice mended",
        {f"process_start_time_seconds{{{W1}}}": "0+0x15 60+60x2 180+0x12"},
    ),
    fires(
        "ServiceRestarts",
        "a gateway, five times",
        {f"process_start_time_seconds{{{A}}}": "0+0x15 60+60x5 360+0x9"},
        held_by(A),
    ),
    calm("ServiceRestarts", "three times", {f"process_start_time_seconds{{{DIMSE}}}": "0+0x15 60+60x2 180+0x12"}),
)

DURABILITY: Final = (
    fires("LedgerBehind", "100 s behind", both("cxr_ledger_oldest_due_age_seconds", 100)),
    calm("LedgerBehind", "40 s behind", both("cxr_ledger_oldest_due_age_seconds", 40)),
    fires("AuditUnwritable", "one process cannot write", {f"cxr_audit_writable{{{DELIVERY}}}": 0}),
    calm("AuditUnwritable", "one write failed, the next did not", {f"cxr_audit_writable{{{A}}}": "1+0x20 0 1+0x9"}),
    fires("AuditFilling", "0.15 of its disk are free", both("cxr_audit_free_ratio", 0.15), minutes=60),
    calm("AuditFilling", "0.3 of its disk are free", both("cxr_audit_free_ratio", 0.3), minutes=60),
    fires(
        "NotReady",
        "one gateway's spool is away",
        {f'cxr_gateway_not_ready{{{A},code="spool_unavailable"}}': 1},
        {"code": "spool_unavailable"},
    ),
    calm(
        "NotReady",
        "it was, and is not any more",
        {f'cxr_gateway_not_ready{{{A},code="not_reconciled"}}': "1+0x20 stale"},
    ),
    fires("RedisDown", "no gateway reaches it", both("cxr_queue_up", 0)),
    calm("RedisDown", "one gateway does not reach it", {f"cxr_queue_up{{{A}}}": 0}),
    fires(
        "RedisUnsafe",
        "somebody switched the AOF off",
        both('cxr_gateway_not_ready{code="queue_unsafe"}', 1),
        also="NotReady",
    ),
    calm("RedisUnsafe", "it is only away", both('cxr_gateway_not_ready{code="queue_unavailable"}', 1), also="NotReady"),
    fires("RedisAofFails", "its disk is full", {f"redis_aof_last_write_status{{{REDIS}}}": 0}, held_by(REDIS)),
    fires("RedisAofFails", "it has none", {f"redis_aof_enabled{{{REDIS}}}": 0}, held_by(REDIS)),
    calm("RedisAofFails", "it writes", {}),
    fires(
        "RedisRewriteFails",
        "no room for a second file",
        {f"redis_aof_last_bgrewrite_status{{{REDIS}}}": 0},
        held_by(REDIS),
    ),
    fires("RedisRewriteFails", "no memory for a fork", {f"redis_rdb_last_bgsave_status{{{REDIS}}}": 0}, held_by(REDIS)),
    calm(
        "RedisRewriteFails",
        "one failed, the next did not",
        {f"redis_rdb_last_bgsave_status{{{REDIS}}}": "1+0x26 0+0x3"},
    ),
    fires("RedisMemory", "0.8 of the limit", {f"redis_memory_used_bytes{{{REDIS}}}": 2e8}, held_by(REDIS)),
    fires("RedisMemory", "no limit", {f"redis_memory_max_bytes{{{REDIS}}}": 0}, held_by(REDIS)),
    calm("RedisMemory", "0.6 of the limit", {f"redis_memory_used_bytes{{{REDIS}}}": 1.5e8}),
    fires("SpoolFilling", "0.9 of the quota", both("cxr_spool_payload_bytes", 9e9)),
    fires("SpoolFilling", "0.15 of its disk are free", both("cxr_spool_free_ratio", 0.15)),
    calm(
        "SpoolFilling",
        "0.7 of the quota, 0.3 of its disk free",
        both("cxr_spool_payload_bytes", 7e9) | both("cxr_spool_free_ratio", 0.3),
    ),
    fires(
        "SpoolFillsSoon",
        "from 0.6 by 0.013 an hour",
        both("cxr_spool_free_ratio", PerMinute(-0.0132 / 60, start=0.6)),
        minutes=600,
        minutes_apart=5,
    ),
    calm(
        "SpoolFillsSoon",
        "from 0.6 by 0.006 an hour",
        both("cxr_spool_free_ratio", PerMinute(-0.006 / 60, start=0.5)),
        minutes=600,
        minutes_apart=5,
    ),
    calm(
        "SpoolFillsSoon",
        "from 0.49 by 0.013 an hour, for the five hours that it exists",
        both("cxr_spool_free_ratio", PerMinute(-0.0132 / 60, start=0.49)),
        minutes=300,
        minutes_apart=5,
    ),
    calm(
        "SpoolFillsSoon",
        "a busy morning, and plenty is free",
        both("cxr_spool_free_ratio", PerMinute(-0.04 / 60, start=0.95)),
        minutes=420,
        minutes_apart=5,
    ),
)
