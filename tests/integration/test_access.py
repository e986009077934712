"""Who gets in: a gateway with keys and a real Redis, asked as clients and browsers ask."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.api.access.sessions import COOKIE
from services.api.scopes import Role
from tests.support.access import bearer, id_of, make_key
from tests.support.doors import PNG, code_of, cookie_of, guarded_gateway, metrics, noted, send, sign_in
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.redis_server import RedisServer

QUOTAS = {"api_max_uploads_per_key": 1, "api_upload_rate_per_key": 0.001, "api_upload_burst_per_key": 3}
ADMINS = 12  # one for each test: what a key does is counted


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("access") / "keys.json"


@pytest.fixture(scope="module")
def callers(keys_file: Path) -> dict[str, str]:
    """Keys of few sites, which the gateway knows from its start."""
    return {
        "icu": make_key(keys_file, Role.SUBMIT, Role.READ, sites=["icu"]),
        "two sites": make_key(keys_file, Role.SUBMIT, sites=["icu", "ward"]),
        "other": make_key(keys_file, Role.SUBMIT, Role.READ, sites=["icu"]),
        "icu reader": make_key(keys_file, Role.READ, sites=["icu"]),
    }


@pytest.fixture(scope="module")
def admins(keys_file: Path) -> Iterator[str]:
    return iter([make_key(keys_file, Role.ADMIN, label="Reading room") for _ in range(ADMINS)])


@pytest.fixture
def admin(admins: Iterator[str]) -> str:
    """The key of an admin that did nothing yet."""
    return next(admins)


@pytest.fixture(scope="module")
def running_gateway(
    shared_redis_server: RedisServer, keys_file: Path, callers: dict[str, str], admins: Iterator[str]
) -> Iterator[GatewayProcess]:
    with guarded_gateway(shared_redis_server, keys_file, **QUOTAS) as running:
        yield running


@pytest.fixture
def gateway(running_gateway: GatewayProcess, redis_server: RedisServer) -> GatewayProcess:
    """The gateway of this file, empty."""
    running_gateway.empty_spool()
    return running_gateway


def test_session_stands_for_its_key_until_it_is_ended(
    gateway: GatewayProcess, client: httpx.Client, admin: str, keys_file: Path
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
        (entry,) = noted(keys_file.parent / "audit", event, who=id_of(admin))
        assert entry["source"] == "127.0.0.1"


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


def test_film_of_another_site_does_not_exist(client: httpx.Client, admin: str, callers: dict[str, str]) -> None:
    other = callers["other"]
    film = send(client, admin, 2).json()
    headers = bearer(other)
    for path in (film["links"]["self"], f"{film['links']['self']}/preview.png", f"/v1/studies/{film['study_uid']}"):
        assert client.get(path, headers=headers).status_code == 404, path
    waited = client.get(film["links"]["self"], params={"wait": 30}, headers=headers)
    assert code_of(waited, 404) == "instance_not_found"
    assert waited.elapsed.total_seconds() < 15, "a foreign film is not waited for, as an unknown one is not"
    assert client.get("/v1/studies", headers=headers).json()["studies"] == []
    assert code_of(client.get("/v1/studies", params={"site": "default"}, headers=headers), 403) == "site_not_allowed"
    assert code_of(send(client, other, 2, site="default"), 403) == "site_not_allowed"


def test_key_of_one_site_sends_and_reads_there_by_default(
    client: httpx.Client, admin: str, callers: dict[str, str]
) -> None:
    icu, two = callers["icu"], callers["two sites"]
    film = send(client, icu, 3).json()
    assert film["site"] == "icu"
    assert client.get(f"/v1/studies/{film['study_uid']}", headers=bearer(icu)).json()["site"] == "icu"
    assert code_of(send(client, two, 3), 403) == "site_not_allowed", "two sites, and neither is the default one"
    listed = client.get("/v1/studies", headers=bearer(admin)).json()["studies"]
    assert [study["site"] for study in listed] == ["icu"]


def test_what_one_key_has_seen_is_not_known_to_another(
    client: httpx.Client, admin: str, callers: dict[str, str]
) -> None:
    icu = callers["icu reader"]
    tag = client.get("/v1/studies", headers=bearer(admin)).headers["etag"]
    assert client.get("/v1/studies", headers=bearer(admin) | {"If-None-Match": tag}).status_code == 304
    assert client.get("/v1/studies", headers=bearer(icu) | {"If-None-Match": tag}).status_code == 200


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
