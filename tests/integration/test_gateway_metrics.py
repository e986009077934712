"""What a scrape of the gateway says while Redis is well, unsafe, or away; alerts in docs/operating.md stand on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.jobs import keys
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.redis_server import RedisServer
from tests.support.senders import numbered_films, send_all


def scrape(client: httpx.Client) -> dict[str, float]:
    """Return every sample by its name and, where it has any, its labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        sample.name + (json.dumps(sample.labels) if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_scrape_says_what_waits_and_where_refusing_begins(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"audit_directory": tmp_path / "audit", "api_routine_depth": 10, "api_stat_reserve": 5}
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url, **settings) as gateway:
        gateway.wait_ready()
        films = numbered_films(3)
        send_all(gateway.url, films, seconds=30)
        with gateway.client() as client:
            found = scrape(client)
    assert (found["cxr_queue_up"], found["cxr_gateway_ready"], found["cxr_workers_live"]) == (1, 1, 0)
    assert found["cxr_queue_open_films"] == found['cxr_queue_depth{"lane": "routine"}'] == len(films)
    assert found["cxr_queue_open_bytes"] == found["cxr_spool_payload_bytes"] == sum(map(len, films))
    assert found['cxr_queue_depth_limit{"lane": "routine"}'] == 10
    assert found['cxr_queue_depth_limit{"lane": "stat"}'] == 15
    assert 0 < found["cxr_spool_free_ratio"] <= 1
    assert found["cxr_audit_writable"] == 1
    assert 0 < found["cxr_audit_free_ratio"] <= 1


def test_scrape_says_why_no_film_could_be_accepted(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    server = mortal_redis_server
    with GatewayProcess(tmp_path, redis_url=server.url, audit_directory=tmp_path / "audit") as gateway:
        gateway.wait_ready()
        with gateway.client() as client:
            with server.client() as redis:
                redis.config_set("maxmemory-policy", "allkeys-lru")
            unsafe = scrape(client)
            assert (unsafe["cxr_queue_up"], unsafe["cxr_gateway_ready"]) == (1, 0)
            assert unsafe['cxr_gateway_not_ready{"code": "queue_unsafe"}'] == 1
            server.stop()
            wait_until(lambda: scrape(client)["cxr_queue_up"] == 0, what="a scrape without Redis")
            away = scrape(client)
    assert away['cxr_gateway_not_ready{"code": "queue_unavailable"}'] == 1
    assert not any(name.startswith(("cxr_queue_depth{", "cxr_queue_oldest", "cxr_ledger")) for name in away)


def test_scrape_counts_dead_films_and_outcomes_that_wait_for_the_ledger(
    mortal_redis_server: RedisServer, tmp_path: Path
) -> None:
    hasty: dict[str, Any] = {
        "queue_deadline_routine_seconds": 0.1,
        "api_upkeep_seconds": 0.2,
        "audit_directory": tmp_path / "audit",
    }
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url, **hasty) as gateway:
        gateway.wait_ready()
        send_all(gateway.url, numbered_films(2), seconds=30)
        with gateway.client() as client, mortal_redis_server.client() as redis:
            wait_until(lambda: redis.xlen(keys.DEAD) == 2, what="two films at their deadline")
            found = scrape(client)
    assert found["cxr_queue_dead_films"] == found["cxr_ledger_due_films"] == 2  # no worker writes them down
    assert found["cxr_ledger_oldest_due_age_seconds"] >= 0
    assert found["cxr_queue_open_films"] == 0
