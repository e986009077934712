"""Who gets in: a gateway with keys and a real Redis, asked as clients and browsers ask."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from services.api.access.keys_file import revoke_key
from services.api.access.sessions import COOKIE
from services.api.scopes import Role
from tests.support.access import bearer, id_of, make_key, with_wrong_secret
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.redis_server import RedisServer

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def admin(keys_file: Path) -> str:
    return make_key(keys_file, Role.ADMIN, label="Reading room")


@pytest.fixture
def gateway(redis_server: RedisServer, tmp_path: Path, keys_file: Path, admin: str) -> Iterator[GatewayProcess]:
    settings = {"api_keys_file": keys_file, "audit_directory": tmp_path / "audit", "api_failed_sign_ins_per_minute": 3}
    quotas = {"api_max_uploads_per_key": 1, "api_upload_rate_per_key": 0.001, "api_upload_burst_per_key": 3}
    with GatewayProcess(tmp_path, redis_url=redis_server.url, **settings, **quotas) as running:
        running.wait_ready()
        yield running
        assert "request failed" not in running.output


def code_of(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    if status == 429:
        assert 1 <= int(answer.headers["retry-after"]) <= 120
    return str(answer.json()["code"])


def sign_in(gateway: GatewayProcess, client: httpx.Client, key: str) -> httpx.Response:
    return client.post("/v1/session", json={"key": key}, headers={"Origin": gateway.url})


def cookie_of(answer: httpx.Response) -> dict[str, str]:
    """Return the header by which a browser stays signed in. Ours sends it itself, because httpx wants HTTPS for it."""
    return {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}


def knows(client: httpx.Client, key: str) -> bool:
    """Return whether the gateway knows a key yet that was made after its start."""
    return client.get("/v1/session", headers=bearer(key)).status_code == 200


def metrics(client: httpx.Client, key: str) -> str:
    return client.get("/metrics", headers=bearer(key)).text


def send(client: httpx.Client, key: str, seed: int, **params: str) -> httpx.Response:
    return client.post("/v1/instances", content=png_film(seed=seed), params=params, headers=PNG | bearer(key))


def audit_entries(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for file in directory.iterdir() for line in file.read_text().splitlines()]


def noted(directory: Path, event: str) -> list[dict[str, object]]:
    """Return what the trail says of an event as soon as it says anything; its thread writes a moment later."""
    wait_until(lambda: any(entry["event"] == event for entry in audit_entries(directory)), what=f"{event} in the trail")
    return [entry for entry in audit_entries(directory) if entry["event"] == event]


# -- sessions ------------------------------------------------------------------------------------------------------


def test_session_stands_for_its_key_until_it_is_ended(
    gateway: GatewayProcess, client: httpx.Client, admin: str, tmp_path: Path
) -> None:
    answer = sign_in(gateway, client, admin)
    assert answer.json() | {"expires_at": ""} == {
        "key_id": id_of(admin),
        "label": "Reading room",
        "roles": ["submit", "read", "admin", "metrics"],
        "sites": None,
        "expires_at": "",
    }
    set_cookie = answer.headers["set-cookie"].lower()
    for attribute in ("httponly", "samesite=strict", "path=/", "secure", "max-age=43200"):
        assert attribute in set_cookie
    cookie = cookie_of(answer)
    assert client.get("/v1/studies", headers=cookie).status_code == 200
    assert client.get("/v1/session", headers=cookie).json()["key_id"] == id_of(admin)
    ended = client.delete("/v1/session", headers=cookie | {"Origin": gateway.url})
    assert ended.status_code == 204
    assert "max-age=0" in ended.headers["set-cookie"].lower()
    assert code_of(client.get("/v1/studies", headers=cookie), 401) == "unauthenticated"
    for event in ("signed_in", "signed_out"):
        (entry,) = noted(tmp_path / "audit", event)
        assert (entry["who"], entry["source"]) == (id_of(admin), "127.0.0.1")


def test_redis_and_logs_hold_nothing_with_which_one_could_sign_in(
    gateway: GatewayProcess, client: httpx.Client, admin: str, redis_server: RedisServer
) -> None:
    token = sign_in(gateway, client, admin).cookies[COOKIE]
    assert client.get("/v1/studies", headers=bearer(admin)).status_code == 200
    with redis_server.client() as redis:
        (name,) = redis.keys("{cxr}:session:*")
        assert token not in name
        assert redis.get(name) == id_of(admin)
        assert 0 < redis.ttl(name) <= 12 * 3600
    assert len(token) == 43
    assert token not in gateway.output
    assert admin.split("_", 2)[2] not in gateway.output
    wait_until(lambda: id_of(admin) in gateway.output, what="the id of the key in the log")


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


def test_password_that_a_browser_repeats_changes_nothing_for_a_page_of_another_origin(
    gateway: GatewayProcess, client: httpx.Client, admin: str
) -> None:
    film, auth = png_film(seed=1), httpx.BasicAuth("anybody", admin)
    for foreign in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        # What a form of any page can send without being asked whether it may.
        answer = client.post("/v1/instances", files={"file": ("a.png", film, "image/png")}, auth=auth, headers=foreign)
        assert code_of(answer, 403) == "foreign_origin"
        assert client.get("/v1/studies", auth=auth, headers=foreign).status_code == 200, "it cannot read the answer"
    program = client.post("/v1/instances", content=film, auth=auth, headers=PNG)
    ours = client.post("/v1/instances", content=film, auth=auth, headers=PNG | {"Origin": gateway.url})
    assert (program.status_code, ours.status_code) == (202, 202)


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


def test_sign_in_that_is_none_is_refused_and_not_repeated(gateway: GatewayProcess, client: httpx.Client) -> None:
    for content, media_type, status in (
        (b"{}", "application/json", 400),
        (b'{"key": 1}', "application/json", 400),
        (b'{"key": "xx", "more": 1}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"key": "xx"}', "text/plain", 415),
        (b'{"key": "' + b"x" * 300 + b'"}', "application/json", 400),
        (b'{"key": "' + b"x" * 5000 + b'"}', "application/json", 413),
    ):
        headers = {"Content-Type": media_type, "Origin": gateway.url}
        answer = client.post("/v1/session", content=content, headers=headers)
        code_of(answer, status)
        assert "xx" not in answer.text


def test_page_is_not_told_of_basic_because_its_browser_would_ask_for_a_password(client: httpx.Client) -> None:
    assert "Basic" in client.get("/v1/studies").headers["www-authenticate"]
    challenge = client.get("/v1/studies", headers={"X-Requested-By-Page": "1"}).headers["www-authenticate"]
    assert challenge == 'Bearer realm="cxr-triage"'


# -- keys ----------------------------------------------------------------------------------------------------------


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


# -- sites ---------------------------------------------------------------------------------------------------------


def test_film_of_another_site_does_not_exist(client: httpx.Client, admin: str, keys_file: Path) -> None:
    other = make_key(keys_file, Role.SUBMIT, Role.READ, sites=["icu"])
    film = send(client, admin, 2).json()
    wait_until(lambda: knows(client, other), seconds=10, what="the new key")
    headers = bearer(other)
    for path in (film["links"]["self"], f"{film['links']['self']}/preview.png", f"/v1/studies/{film['study_uid']}"):
        assert client.get(path, headers=headers).status_code == 404, path
    waited = client.get(film["links"]["self"], params={"wait": 30}, headers=headers)
    assert code_of(waited, 404) == "instance_not_found"
    assert waited.elapsed.total_seconds() < 15, "a foreign film is not waited for, as an unknown one is not"
    assert client.get("/v1/studies", headers=headers).json()["studies"] == []
    assert code_of(client.get("/v1/studies", params={"site": "default"}, headers=headers), 403) == "site_not_allowed"
    assert code_of(send(client, other, 2, site="default"), 403) == "site_not_allowed"


def test_key_of_one_site_sends_and_reads_there_by_default(client: httpx.Client, admin: str, keys_file: Path) -> None:
    icu = make_key(keys_file, Role.SUBMIT, Role.READ, sites=["icu"])
    two = make_key(keys_file, Role.SUBMIT, sites=["icu", "ward"])
    wait_until(lambda: knows(client, two), seconds=10, what="the new keys")
    film = send(client, icu, 3).json()
    assert film["site"] == "icu"
    assert client.get(f"/v1/studies/{film['study_uid']}", headers=bearer(icu)).json()["site"] == "icu"
    assert code_of(send(client, two, 3), 403) == "site_not_allowed", "two sites, and neither is the default one"
    listed = client.get("/v1/studies", headers=bearer(admin)).json()["studies"]
    assert [study["site"] for study in listed] == ["icu"]


def test_what_one_key_has_seen_is_not_known_to_another(client: httpx.Client, admin: str, keys_file: Path) -> None:
    icu = make_key(keys_file, Role.READ, sites=["icu"])
    wait_until(lambda: knows(client, icu), seconds=10, what="the new key")
    tag = client.get("/v1/studies", headers=bearer(admin)).headers["etag"]
    assert client.get("/v1/studies", headers=bearer(admin) | {"If-None-Match": tag}).status_code == 304
    assert client.get("/v1/studies", headers=bearer(icu) | {"If-None-Match": tag}).status_code == 200


# -- throttles -----------------------------------------------------------------------------------------------------


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


def test_key_sends_so_many_at_once_and_so_many_in_a_time(
    gateway: GatewayProcess, client: httpx.Client, admin: str
) -> None:
    headers = f"Host: gateway\r\nAuthorization: Bearer {admin}\r\nContent-Length: 9"
    with socket.create_connection(("127.0.0.1", gateway.port)) as held:
        held.sendall(f"POST /v1/instances HTTP/1.1\r\n{headers}\r\n\r\n".encode() + b"\x89")
        wait_until(lambda: "cxr_uploads_in_flight 1.0" in metrics(client, admin), what="the held upload")
        assert code_of(send(client, admin, 4), 429) == "too_many_uploads"
    wait_until(lambda: send(client, admin, 4).status_code == 202, what="room for the next upload")
    assert send(client, admin, 5).status_code == 202
    refused = send(client, admin, 6)
    assert code_of(refused, 429) == "rate_limited"
    assert client.get("/v1/studies", headers=bearer(admin)).status_code == 200, "only uploads are counted"
