"""What the short way of a poll cannot be made to say: it is a true 304, or what the long way answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from services.api.access.sessions import COOKIE
from services.api.scopes import Role
from tests.support.access import bearer, id_of, make_key, with_wrong_secret
from tests.support.doors import guarded_gateway
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.ledger import entries_in
from tests.support.redis_server import RedisServer

ANY_TAG = {"If-None-Match": "*"}
WORKLIST = "/v1/studies"
# Who asks alone has every look at Redis made for it, and looks keep a pause between them.
AT_ONCE = 16
# What is right, what is not, and what a hasty reader of query strings would take for another question.
QUERIES = (
    *(
        "",
        "?",
        "&",
        "limit=5",
        "limit=%35",
        "limit=%205",
        "limit=5.0",
        "limit=5e0",
        "limit=",
        "limit",
        "limit=0",
        "limit=501",
    ),
    *("limit=5&limit=6", "limit=5&limit=5", "Limit=5", "limit%5B%5D=5", "limit%00=5", "limit=%D9%A5"),
    *(
        "blind=true",
        "blind=1",
        "blind=on",
        "blind=yes",
        "blind=TRUE",
        "blind=",
        "blind=maybe",
        "blind=false&blind=true",
    ),
    *(
        "blind=true&outcome=flagged",
        "blind=false&outcome=flagged",
        "outcome=flagged",
        "outcome=FLAGGED",
        "outcome=blind",
    ),
    *("outcome=", "outcome=flagged&outcome=pending", "outcome=flagged;priority=stat", "priority=stat", "priority=0"),
    *("site=er", "site=default", "site=ER", "site=../er", "site=er%00", "site=%ff", "site=", "site=er&site=icu"),
    *("since=2026-01-01T00:00:00Z", "since=2026-01-01T00:00:00", "since=2026-01-01", "since=0", "since=-1"),
    *("since=0001-01-01T00:00:00%2B14:00", "since=9999-12-31T23:59:59-14:00", "since=2026-01-01T00:00:00+00:00"),
    *(
        "cursor=",
        "cursor=x",
        "cursor=%ff%fe",
        "cursor=bm9uZQ",
        f"cursor={'A' * 512}",
        f"cursor={'A' * 513}",
        "cursor=e30",
    ),
    *(
        "verdict=healthy",
        "=",
        "=5",
        "limit=5&",
        "&&limit=5",
        "%6cimit=5",
        "limit=%",
        "limit=%zz",
        "+limit=5",
    ),
)

# Each of these is another question, whatever their answers have in common.
QUESTIONS = (
    *("", "limit=5", "site=icu", "site=er", "blind=true", "outcome=flagged", "outcome=pending", "priority=stat"),
    *("since=2026-01-01T00:00:00Z", "since=2026-01-02T00:00:00Z"),
)


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway") / "keys.json"


@pytest.fixture(scope="module")
def keys(keys_file: Path) -> dict[str, str]:
    return {
        "reader": make_key(keys_file, Role.READ),
        "icu": make_key(keys_file, Role.READ, sites=["icu"]),
        "admin": make_key(keys_file, Role.ADMIN),
        "sender": make_key(keys_file, Role.SUBMIT),
    }


@pytest.fixture(scope="module")
def running_gateway(
    shared_redis_server: RedisServer, keys_file: Path, keys: dict[str, str]
) -> Iterator[GatewayProcess]:
    with guarded_gateway(shared_redis_server, keys_file) as running:
        yield running


@pytest.fixture
def gateway(running_gateway: GatewayProcess, redis_server: RedisServer) -> GatewayProcess:
    """The gateway of this file, empty."""
    running_gateway.empty_spool()
    return running_gateway


def signed_in(gateway: GatewayProcess, client: httpx.Client, key: str) -> dict[str, str]:
    answer = client.post("/v1/session", json={"key": key}, headers={"Origin": gateway.url})
    client.cookies.clear()
    return {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}


def asked(client: httpx.Client, query: str, who: dict[str, str]) -> tuple[int, str | None]:
    """Return status and code of the answer to a query string, sent as it is written here."""
    url = client.base_url.copy_with(raw_path=f"{WORKLIST}?{query}".encode())
    answer = client.get(url, headers=who)
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return answer.status_code, answer.json()["code"] if is_problem else None


def test_whoever_names_any_tag_is_refused_what_he_is_refused_without_one(
    gateway: GatewayProcess, client: httpx.Client, keys: dict[str, str]
) -> None:
    callers = {name: bearer(keys[name]) for name in ("reader", "icu", "sender")} | {
        "page": signed_in(gateway, client, keys["icu"])
    }
    found = set()
    questions = [(name, query) for name in callers for query in QUERIES]

    def both(name: str, query: str) -> tuple[tuple[int, str | None], tuple[int, str | None]]:
        return asked(client, query, callers[name]), asked(client, query, callers[name] | ANY_TAG)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = threads.map(both, *zip(*questions, strict=True))
    for question, (plain, with_any_tag) in zip(questions, answers, strict=True):
        assert with_any_tag == ((304, None) if plain[0] == 200 else plain), question
        found.add(plain)
    refusals = {(403, "forbidden"), (403, "site_not_allowed"), (422, "invalid_parameter"), (422, "invalid_cursor")}
    assert found == {(200, None)} | refusals, "every kind of answer was met"


def test_no_tag_of_one_question_or_scope_answers_another(
    gateway: GatewayProcess, client: httpx.Client, keys: dict[str, str]
) -> None:
    client.post("/v1/instances", params={"site": "icu"}, content=png_film(seed=1), headers=bearer(keys["admin"]))
    callers = {name: bearer(keys[name]) for name in ("reader", "icu")}
    tags: dict[str, tuple[str, str, bytes]] = {}
    for name, who in callers.items():
        for query in QUESTIONS:
            answer = client.get(f"{WORKLIST}?{query}", headers=who)
            if answer.status_code == 403:
                continue
            tag, mine = answer.headers["etag"], (name, query, answer.content)
            # One site by name, or by a key for it alone, is one question.
            assert tags.setdefault(tag, mine)[1:] == mine[1:], "whoever shares a tag shares the page"
    assert len(tags) >= len(QUESTIONS)
    for tag, (_, query, _) in tags.items():
        others = [other for known, (name, other, _) in tags.items() if known != tag and name == "reader"]
        known = bearer(keys["reader"]) | {"If-None-Match": tag}

        def status(other: str, known: dict[str, str] = known) -> int:
            return client.get(f"{WORKLIST}?{other}", headers=known).status_code

        with ThreadPoolExecutor(AT_ONCE) as threads:
            assert set(threads.map(status, others)) == {200}, query


def test_cursor_is_read_before_any_tag_counts(
    gateway: GatewayProcess, client: httpx.Client, keys: dict[str, str]
) -> None:
    for seed in range(3):
        client.post("/v1/instances", content=png_film(seed=seed), headers=bearer(keys["sender"]))
    who = bearer(keys["reader"])
    cursor = client.get(f"{WORKLIST}?limit=1", headers=who).json()["next_cursor"]
    second = client.get(WORKLIST, params={"limit": 1, "cursor": cursor}, headers=who)
    again = {"limit": 1, "cursor": cursor}
    known = who | {"If-None-Match": second.headers["etag"]}
    assert client.get(WORKLIST, params=again, headers=known).status_code == 304
    assert client.get(WORKLIST, params=again | {"cursor": cursor[:-4]}, headers=who | ANY_TAG).status_code == 422


def test_wrong_key_and_missing_role_are_noted_once_by_a_poll(
    redis_server: RedisServer, keys: dict[str, str], keys_file: Path, tmp_path: Path
) -> None:
    settings = {"redis_url": redis_server.url, "api_keys_file": keys_file}
    with GatewayProcess(tmp_path, **settings) as running, running.client() as client:  # type: ignore[arg-type]
        running.wait_ready()
        wrong = bearer(with_wrong_secret(keys["reader"]))
        assert client.get(WORKLIST, headers=wrong | ANY_TAG).status_code == 401
        assert client.get(WORKLIST, headers=bearer(keys["sender"]) | ANY_TAG).status_code == 403
        assert running.stop() == 0
    events = [entry["event"] for entry in entries_in(tmp_path / "audit")]
    assert (events.count("sign_in_failed"), events.count("refused")) == (1, 1)


def test_other_methods_and_paths_know_no_short_way(
    gateway: GatewayProcess, client: httpx.Client, keys: dict[str, str]
) -> None:
    who = bearer(keys["reader"]) | ANY_TAG
    assert client.head(WORKLIST, headers=who).status_code == 405
    assert client.post(WORKLIST, headers=who).status_code == 405
    assert client.get(f"{WORKLIST}/", headers=who).status_code == 404
    assert client.get(f"{WORKLIST}/1.2.3", headers=who).status_code == 404


def test_poll_whose_body_never_ends_is_answered_and_its_connection_closed(
    gateway: GatewayProcess, keys: dict[str, str]
) -> None:
    head = f"GET {WORKLIST} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {keys['reader']}\r\nIf-None-Match: *\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: 1000000\r\n\r\nx".encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 304 ")
    assert b"connection: close" in received.lower()


def test_tag_from_before_redis_lost_everything_is_known_no_more(
    gateway: GatewayProcess, client: httpx.Client, keys: dict[str, str], redis_server: RedisServer
) -> None:
    client.post("/v1/instances", content=png_film(seed=7), headers=bearer(keys["sender"]))
    first = client.get(WORKLIST, headers=bearer(keys["reader"]))
    assert len(first.json()["studies"]) == 1
    known = bearer(keys["reader"]) | {"If-None-Match": first.headers["etag"]}
    assert client.get(WORKLIST, headers=known).status_code == 304
    with redis_server.client() as redis:
        redis.flushall()
    assert client.get(WORKLIST, headers=known).status_code == 200


def test_poll_that_redis_fails_is_logged_with_its_id_and_key(
    mortal_redis_server: RedisServer, tmp_path: Path, keys: dict[str, str], keys_file: Path
) -> None:
    settings = {"redis_url": mortal_redis_server.url, "api_keys_file": keys_file}
    with GatewayProcess(tmp_path, **settings) as running, running.client() as client:  # type: ignore[arg-type]
        running.wait_ready()
        mortal_redis_server.kill()
        answer = client.get(WORKLIST, headers=bearer(keys["reader"]) | ANY_TAG)
        assert answer.status_code == 503
        told = answer.json()["instance"].removeprefix("urn:uuid:")
        wait_until(lambda: told in running.output, what="the log line")
    (line,) = [json.loads(text) for text in running.output.splitlines() if told in text]
    expected = {"status": 503, "route": WORKLIST, "code": "queue_unavailable", "key_id": id_of(keys["reader"])}
    assert {name: line[name] for name in expected} == expected
