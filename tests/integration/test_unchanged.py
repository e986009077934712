"""The short way of a poll tells nobody less, more or anything later than the long one would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.api.access.keys_file import revoke_key
from services.api.access.sessions import COOKIE
from services.api.scopes import Role
from tests.support.access import bearer, id_of, make_key
from tests.support.doors import guarded_gateway
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.redis_server import RedisServer

ANY_TAG = {"If-None-Match": "*"}  # names every tag: only the short way's own doubt keeps it from a 304
WORKLIST = "/v1/studies"


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway") / "keys.json"


@pytest.fixture(scope="module")
def reader(keys_file: Path) -> str:
    return make_key(keys_file, Role.READ, Role.METRICS)


@pytest.fixture(scope="module")
def sender(keys_file: Path) -> str:
    return make_key(keys_file, Role.SUBMIT)


@pytest.fixture(scope="module")
def bound(keys_file: Path) -> str:
    """A reader of one site."""
    return make_key(keys_file, Role.READ, sites=["icu"])


# Asked for after the keys: it knows those that were made before it started, so nobody has to knock until it does.
@pytest.fixture(scope="module")
def running_gateway(
    shared_redis_server: RedisServer, keys_file: Path, reader: str, sender: str, bound: str
) -> Iterator[GatewayProcess]:
    make_key(keys_file, Role.ADMIN)  # stays valid, whoever is revoked
    with guarded_gateway(shared_redis_server, keys_file, api_failed_sign_ins_per_minute=1000) as running:
        yield running


@pytest.fixture
def gateway(running_gateway: GatewayProcess, redis_server: RedisServer) -> GatewayProcess:
    """The gateway of this file, empty."""
    running_gateway.empty_spool()
    return running_gateway


def signed_in(gateway: GatewayProcess, client: httpx.Client, key: str) -> dict[str, str]:
    answer = client.post("/v1/session", json={"key": key}, headers={"Origin": gateway.url})
    return {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}


def test_poll_is_told_that_nothing_changed_until_something_does(
    sender: str, gateway: GatewayProcess, client: httpx.Client, reader: str
) -> None:
    for who in (bearer(reader), signed_in(gateway, client, reader)):
        first = client.get(WORKLIST, headers=who)
        assert first.status_code == 200
        known = who | {"If-None-Match": first.headers["etag"]}
        again = client.get(WORKLIST, headers=known)
        assert (again.status_code, again.headers["etag"], again.content) == (304, first.headers["etag"], b"")
        assert again.headers["cache-control"] == first.headers["cache-control"]
        seed = len(first.json()["studies"])
        sent = client.post("/v1/instances", content=png_film(seed=seed), headers=bearer(sender))
        assert sent.status_code == 202
        changed = client.get(WORKLIST, headers=known)
        assert changed.status_code == 200
        assert len(changed.json()["studies"]) == seed + 1


def test_tag_of_another_question_is_not_known(gateway: GatewayProcess, client: httpx.Client, reader: str) -> None:
    tag = client.get(WORKLIST, params={"limit": 5}, headers=bearer(reader)).headers["etag"]
    polls = {limit: {"limit": limit} for limit in (5, 6)}
    known = bearer(reader) | {"If-None-Match": tag}
    assert [client.get(WORKLIST, params=poll, headers=known).status_code for poll in polls.values()] == [304, 200]


def test_revoked_key_is_refused_by_its_poll_too(
    gateway: GatewayProcess, client: httpx.Client, keys_file: Path, reader: str
) -> None:
    fading = make_key(keys_file, Role.READ)
    wait_until(lambda: client.get(WORKLIST, headers=bearer(fading)).status_code == 200, what="the new key")
    who = [bearer(fading) | ANY_TAG, signed_in(gateway, client, fading) | ANY_TAG]
    assert [client.get(WORKLIST, headers=poll).status_code for poll in who] == [304, 304]
    revoke_key(keys_file, id_of(fading))
    # The bearer's long way says when the gateway has read the file; from that very moment on nobody is let in.
    wait_until(lambda: client.get(WORKLIST, headers=bearer(fading)).status_code == 401, what="the key's end")
    assert [client.get(WORKLIST, headers=poll).status_code for poll in who] == [401, 401]


def test_session_that_was_ended_is_refused_by_its_next_poll(
    gateway: GatewayProcess, client: httpx.Client, reader: str
) -> None:
    who = signed_in(gateway, client, reader)
    assert client.get(WORKLIST, headers=who | ANY_TAG).status_code == 304
    assert client.delete("/v1/session", headers=who | {"Origin": gateway.url}).status_code == 204
    assert client.get(WORKLIST, headers=who | ANY_TAG).status_code == 401


def test_refusals_are_those_of_the_long_way(
    sender: str, bound: str, gateway: GatewayProcess, client: httpx.Client, reader: str
) -> None:
    asked = {
        "no key": (ANY_TAG, {}),
        "two keys": (httpx.Headers([*(("Authorization", f"Bearer {key}") for key in (reader, bound))]), {}),
        "a key without the role": (bearer(sender) | ANY_TAG, {}),
        "another site": (bearer(bound) | ANY_TAG, {"site": "er"}),
        "no such filter": (bearer(reader) | ANY_TAG, {"verdict": "healthy"}),
        "no such limit": (bearer(reader) | ANY_TAG, {"limit": "501"}),
        "a time that is none": (bearer(reader) | ANY_TAG, {"since": "5"}),
    }
    codes = {name: client.get(WORKLIST, headers=who, params=query).status_code for name, (who, query) in asked.items()}
    assert codes == {
        "no key": 401,
        "two keys": 401,
        "a key without the role": 403,
        "another site": 403,
        "no such filter": 422,
        "no such limit": 422,
        "a time that is none": 422,
    }


def test_tag_that_one_key_was_given_says_nothing_to_a_key_of_other_sites(
    bound: str, gateway: GatewayProcess, client: httpx.Client, reader: str
) -> None:
    tag = client.get(WORKLIST, headers=bearer(reader)).headers["etag"]
    assert client.get(WORKLIST, headers=bearer(bound) | {"If-None-Match": tag}).status_code == 200


def polls_counted(client: httpx.Client, reader: str) -> float:
    name = "cxr_http_request_duration_seconds_count"
    labels = {"method": "GET", "route": WORKLIST, "status": "304"}
    families = text_string_to_metric_families(client.get("/metrics", headers=bearer(reader)).text)
    samples = (sample for family in families for sample in family.samples)
    return sum(sample.value for sample in samples if (sample.name, sample.labels) == (name, labels))


def test_polls_are_counted_as_the_route_that_they_ask(
    gateway: GatewayProcess, client: httpx.Client, reader: str
) -> None:
    before = polls_counted(client, reader)
    client.get(WORKLIST, headers=bearer(reader) | ANY_TAG)
    assert polls_counted(client, reader) == before + 1


def test_open_gateway_answers_no_poll_by_a_name_of_the_internet(redis_server: RedisServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, redis_url=redis_server.url) as running, running.client() as client:
        running.wait_ready()
        assert client.get(WORKLIST, headers=ANY_TAG).status_code == 304
        assert client.get(WORKLIST, headers=ANY_TAG | {"Host": "rebound.example"}).status_code == 403


def test_poll_during_an_outage_of_redis_is_a_problem_and_no_304(
    mortal_redis_server: RedisServer, tmp_path: Path
) -> None:
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url) as running, running.client() as client:
        running.wait_ready()
        mortal_redis_server.kill()
        answer = client.get(WORKLIST, headers=ANY_TAG)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["code"], "retry-after" in answer.headers) == ("queue_unavailable", True)
        mortal_redis_server.start()
        wait_until(lambda: client.get(WORKLIST, headers=ANY_TAG).status_code == 304, what="the worklist's return")
