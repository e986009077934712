"""Who gets in no longer: keys and sessions that end, doors that close, each at a gateway of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from services.api.access.keys_file import revoke_key
from services.api.scopes import Role
from tests.support.access import bearer, id_of, make_key, with_wrong_secret
from tests.support.doors import PNG, code_of, cookie_of, knows, metrics, noted, send, sign_in
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.redis_server import RedisServer


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def admin(keys_file: Path) -> str:
    return make_key(keys_file, Role.ADMIN, label="Reading room")


@pytest.fixture
def gateway(redis_server: RedisServer, tmp_path: Path, keys_file: Path, admin: str) -> Iterator[GatewayProcess]:
    settings = {"api_keys_file": keys_file, "audit_directory": tmp_path / "audit", "api_failed_sign_ins_per_minute": 3}
    with GatewayProcess(tmp_path, redis_url=redis_server.url, **settings) as running:
        running.wait_ready()
        yield running
        assert "request failed" not in running.output


def test_whoever_waits_gets_no_outcome_after_its_key_has_ended(
    gateway: GatewayProcess, client: httpx.Client, keys_file: Path, admin: str
) -> None:
    key = make_key(keys_file, Role.SUBMIT, Role.READ)
    wait_until(lambda: knows(client, key), seconds=10, what="the new key")
    film_id = send(client, key, seed=1).json()["id"]
    with gateway.client() as other, ThreadPoolExecutor() as threads:
        waiting = threads.submit(other.get, f"/v1/instances/{film_id}", params={"wait": 10}, headers=bearer(key))
        revoke_key(keys_file, id_of(key))
        assert code_of(waiting.result(), 401) == "unauthenticated"
    assert client.get(f"/v1/instances/{film_id}", headers=bearer(admin)).status_code == 200


def test_session_ends_with_its_key_within_two_seconds(
    gateway: GatewayProcess, client: httpx.Client, keys_file: Path
) -> None:
    key = make_key(keys_file, Role.READ)
    wait_until(lambda: knows(client, key), seconds=10, what="the new key")
    cookie = cookie_of(sign_in(gateway, client, key))
    assert client.get("/v1/studies", headers=cookie).status_code == 200
    revoke_key(keys_file, id_of(key))
    wait_until(lambda: client.get("/v1/studies", headers=cookie).status_code == 401, seconds=10, what="its end")
    assert code_of(client.get("/v1/studies", headers=bearer(key)), 401) == "unauthenticated"
    assert "revoked" in client.get("/v1/studies", headers=bearer(key)).json()["detail"]


def test_session_of_a_redis_that_does_not_answer_is_no_reason_to_ask_for_the_key_again(
    mortal_redis_server: RedisServer, tmp_path: Path, keys_file: Path, admin: str
) -> None:
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url, api_keys_file=keys_file) as gateway:
        gateway.wait_ready()
        with gateway.client() as client:
            cookie = cookie_of(sign_in(gateway, client, admin))
            mortal_redis_server.kill()
            assert code_of(client.get("/v1/session", headers=cookie), 503) == "queue_unavailable"


def test_broken_keys_file_leaves_the_door_as_it_is_and_metrics_say_so(
    client: httpx.Client, admin: str, keys_file: Path
) -> None:
    keys_file.write_text("broken")
    wait_until(lambda: "cxr_keys_file_good 0.0" in metrics(client, admin), what="the metric")
    assert "cxr_keys_valid 1.0" in metrics(client, admin)
    assert code_of(client.get("/v1/studies"), 401) == "unauthenticated"


def test_key_of_version_0_1_0_works_and_is_told_of_at_start(redis_server: RedisServer, tmp_path: Path) -> None:
    key = make_key(tmp_path / "keys.json")
    stored = json.loads((tmp_path / "keys.json").read_text())["keys"][0]
    old = {name: stored[name] for name in ("id", "sha256", "created_at")}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [old]}))
    with GatewayProcess(tmp_path, redis_url=redis_server.url, api_keys_file=tmp_path / "keys.json") as gateway:
        gateway.wait_ready()
        with gateway.client(headers=bearer(key)) as client:
            assert send(client, key, 1).status_code == 202
            assert client.get("/v1/studies").status_code == client.get("/metrics").status_code == 200
        assert "keys_never_expire" in gateway.output
        assert id_of(key) in gateway.output


def test_wrong_keys_are_answered_429_after_some_and_the_right_one_gets_in_all_the_same(
    client: httpx.Client, admin: str, tmp_path: Path
) -> None:
    wrong = bearer(with_wrong_secret(admin))
    answers = [client.get("/v1/studies", headers=wrong | {"X-Forwarded-For": f"10.0.0.{at}"}) for at in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert code_of(answers[-1], 429) == "too_many_failures"
    assert client.get("/v1/studies").status_code == 401, "who shows no key has not failed"
    assert client.get("/v1/studies", headers=bearer(admin)).status_code == 200
    failed = noted(tmp_path / "audit", "sign_in_failed")
    assert len(failed) <= 3, "what is answered 429 is not written down"
    assert {entry["source"] for entry in failed} == {"127.0.0.1"}


def test_valid_key_cannot_fill_the_trail_with_what_it_is_refused(
    gateway: GatewayProcess, client: httpx.Client, keys_file: Path, tmp_path: Path
) -> None:
    key = make_key(keys_file, Role.METRICS)
    wait_until(lambda: knows(client, key), seconds=10, what="the new key")
    for _ in range(20):
        assert code_of(client.get("/v1/studies", headers=bearer(key)), 403) == "forbidden"
    assert 'cxr_rejections_total{code="forbidden"} 20.0' in metrics(client, key)
    gateway.stop()
    assert 3 <= len(noted(tmp_path / "audit", "refused")) < 20


def test_cookie_changes_nothing_for_a_page_of_another_origin(
    gateway: GatewayProcess, client: httpx.Client, admin: str, tmp_path: Path
) -> None:
    cookie = cookie_of(sign_in(gateway, client, admin))
    for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = client.post("/v1/instances", content=png_film(seed=1), headers=PNG | cookie | origin)
        assert code_of(answer, 403) == "foreign_origin"
        assert code_of(client.delete("/v1/session", headers=cookie | origin), 403) == "foreign_origin"
        assert code_of(client.post("/v1/session", json={"key": admin}, headers=origin), 403) == "foreign_origin"
    ours = client.post("/v1/instances", content=png_film(seed=1), headers=PNG | cookie | {"Origin": gateway.url})
    assert ours.status_code == 202
    assert noted(tmp_path / "audit", "refused")[0]["code"] == "foreign_origin"
