"""Events over HTTP: what happens is told to those who may know it, in order, and to nobody for longer than that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from services.api.access.keys_file import revoke_key
from services.api.scopes import Role
from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.queue import JobQueue
from tests.support.access import bearer, id_of, make_key
from tests.support.event_streams import Event, EventReader
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.jobs import SCORED_BY, TIMINGS, scored
from tests.support.redis_server import RedisServer

ELSEWHERE = "elsewhere"
PNG = {"Content-Type": "image/png"}


# Redis is emptied once: a gateway that lives on would tell its listeners that events were lost. Films are told apart.
@pytest.fixture(scope="module")
def directory(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shared_redis_server.empty()
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="module")
def gateway(shared_redis_server: RedisServer, directory: Path) -> Iterator[GatewayProcess]:
    """A gateway that asks for no key."""
    with GatewayProcess(directory, redis_url=shared_redis_server.url) as running:
        running.wait_ready()
        yield running
        assert running.stop() == 0, running.output[-3000:]
        assert "request failed" not in running.output


async def score_everything(queue: JobQueue) -> None:
    for taken in await queue.take("test", count=100, block_ms=0):
        await queue.finish(taken, scored(flagged=True), model=SCORED_BY, timings=TIMINGS)


def send(client: httpx.Client, seed: int, headers: dict[str, str] | None = None, **params: str) -> dict[str, str]:
    answer = client.post(
        "/v1/instances", content=png_film(seed=seed), headers=PNG | (headers or {}), params=dict(params)
    )
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


@contextmanager
def listening(
    client: httpx.Client, *, headers: dict[str, str] | None = None, **params: object
) -> Iterator[EventReader]:
    """Open a stream; return its reader once the stream has begun."""
    with client.stream("GET", "/v1/events", headers=headers or {}, params=params) as response:  # type: ignore[arg-type]
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        reader = EventReader(response.iter_lines())
        begun = next(reader.blocks())
        assert 1000 < int(begun["retry"]) < 60_000
        yield reader


def facts(event: Event) -> tuple[str, str, str | None]:
    return event.data["id"], event.data["state"], event.data["outcome"]


def last_event(client: httpx.Client, headers: dict[str, str] | None = None) -> str:
    """Return the id of the last event that this gateway has heard of."""
    with listening(client, headers=headers, seconds=0) as reader:
        assert list(reader.events()) == []
        return reader.last_id


async def test_listener_hears_of_a_film_from_its_sending_to_its_outcome(
    client: httpx.Client, shared_redis_server: RedisServer
) -> None:
    async with connect_gateway(shared_redis_server.settings) as redis:
        await hear_of_a_film(client, JobQueue(redis))


async def hear_of_a_film(client: httpx.Client, queue: JobQueue) -> None:
    with listening(client) as reader:
        events = reader.events()
        film = send(client, 1)
        assert facts(next(events)) == (film["id"], "queued", None)
        await score_everything(queue)
        done = next(events)
    assert done.name == "film"
    assert facts(done) == (film["id"], "done", "flagged")
    assert (done.data["study_uid"], done.data["site"]) == (film["study_uid"], "default")
    assert set(done.data) == {"id", "study_uid", "site", "state", "outcome"}


def test_who_comes_again_hears_what_it_missed_and_nothing_twice(client: httpx.Client) -> None:
    first = send(client, 2)
    with listening(client, headers={"Last-Event-ID": "0-0"}, seconds=0) as reader:
        *_, heard = reader.events()
    assert facts(heard)[0] == first["id"]
    second = send(client, 3)
    with listening(client, headers={"Last-Event-ID": heard.id}) as reader:
        assert facts(next(reader.events()))[0] == second["id"]


@pytest.mark.parametrize("unknown", ["1-1", "9999999999999-0", "nonsense", "' OR 1"])
def test_who_missed_what_nobody_knows_is_told_to_begin_anew(client: httpx.Client, unknown: str) -> None:
    with listening(client, headers={"Last-Event-ID": unknown}, seconds=60) as reader:
        # What opened the stream is the event itself; its id is where to go on from.
        position = reader.last_id
    with client.stream("GET", "/v1/events", headers={"Last-Event-ID": unknown}, params={"seconds": 0}) as response:
        events = list(EventReader(response.iter_lines()).events())
    assert [(event.name, event.data, event.id) for event in events] == [("reset", {}, position)]


def test_stream_lasts_as_long_as_its_listener_wishes(client: httpx.Client) -> None:
    with listening(client, seconds=1) as reader:
        assert list(reader.events()) == []
    assert client.get("/v1/events", params={"seconds": -1}).status_code == 422
    assert client.get("/v1/events", params={"second": 1}).status_code == 422
    assert client.get("/v1/events", headers={"Last-Event-ID": "x" * 65}).status_code == 422


def test_open_streams_hold_up_no_stop(redis_server: RedisServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, redis_url=redis_server.url) as gateway:
        gateway.wait_ready()
        with gateway.client() as client, listening(client) as one, listening(client) as other:
            wait_until(lambda: "cxr_event_streams 2.0" in client.get("/metrics").text, what="both streams")
            assert gateway.stop() == 0
            # Ended in order, not cut off: a broken answer would raise.
            assert [list(reader.events()) for reader in (one, other)] == [[], []]
        assert "request failed" not in gateway.output


def test_streams_are_no_request_durations(client: httpx.Client) -> None:
    last_event(client)
    assert client.get("/v1/events", params={"seconds": -1}).status_code == 422
    text = client.get("/metrics").text
    assert 'route="/v1/events",status="200"' not in text
    assert 'route="/v1/events",status="422"' in text


def test_listener_that_goes_away_leaves_nothing_behind(client: httpx.Client) -> None:
    with listening(client):
        wait_until(lambda: "cxr_event_streams 1.0" in client.get("/metrics").text, what="the stream")
    wait_until(lambda: "cxr_event_streams 0.0" in client.get("/metrics").text, what="the end of the stream")


# -- who may hear what -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys_file(directory: Path) -> Path:
    return directory / "keys.json"


@pytest.fixture(scope="module")
def callers(keys_file: Path) -> dict[str, str]:
    """Keys that the gateway knows from its start."""
    return {
        "admin": make_key(keys_file, Role.ADMIN),
        ELSEWHERE: make_key(keys_file, Role.SUBMIT, Role.READ, sites=[ELSEWHERE]),
        "fading": make_key(keys_file, Role.READ),
        Role.SUBMIT: make_key(keys_file, Role.SUBMIT),
        Role.METRICS: make_key(keys_file, Role.METRICS),
    }


@pytest.fixture(scope="module")
def guarded(
    shared_redis_server: RedisServer, directory: Path, keys_file: Path, callers: dict[str, str]
) -> Iterator[httpx.Client]:
    """A client of a gateway with keys, which shares the spool of the open one."""
    own = directory / "guarded"
    own.mkdir()
    places = {"redis_url": shared_redis_server.url, "api_keys_file": keys_file, "spool_directory": directory / "spool"}
    with GatewayProcess(own, **places) as running:  # type: ignore[arg-type]
        running.wait_ready()
        with running.client() as client:
            yield client
        assert "request failed" not in running.output


def knows(client: httpx.Client, key: str) -> bool:
    return client.get("/v1/session", headers=bearer(key)).status_code == 200


def test_nobody_hears_of_films_of_other_sites(guarded: httpx.Client, callers: dict[str, str]) -> None:
    elsewhere, admin = callers[ELSEWHERE], callers["admin"]
    with (
        listening(guarded, headers=bearer(elsewhere)) as theirs,
        listening(guarded, headers=bearer(admin)) as all_sites,
    ):
        foreign = send(guarded, 4, bearer(admin))
        own = send(guarded, 5, bearer(elsewhere))
        heard = next(theirs.events())
        assert (heard.data["id"], heard.data["site"]) == (own["id"], ELSEWHERE)
        events = all_sites.events()
        assert [next(events).data["id"] for _ in range(2)] == [foreign["id"], own["id"]]
    with listening(guarded, headers=bearer(elsewhere) | {"Last-Event-ID": "0-0"}, seconds=0) as again:
        assert [event.data["id"] for event in again.events()] == [own["id"]]
        assert foreign["id"] not in str(again)
    named = guarded.get("/v1/events", headers=bearer(elsewhere), params={"site": "default"})
    assert (named.status_code, named.json()["code"]) == (403, "site_not_allowed")


def test_site_narrows_what_an_admin_hears(guarded: httpx.Client, callers: dict[str, str]) -> None:
    admin = callers["admin"]
    with listening(guarded, headers=bearer(admin), site="north") as reader:
        send(guarded, 6, bearer(admin), site="south")
        north = send(guarded, 7, bearer(admin), site="north")
        assert next(reader.events()).data["id"] == north["id"]


def test_stream_ends_with_its_key(guarded: httpx.Client, keys_file: Path, callers: dict[str, str]) -> None:
    fading = callers["fading"]
    assert knows(guarded, fading)
    with listening(guarded, headers=bearer(fading)) as reader:
        revoke_key(keys_file, id_of(fading))
        wait_until(lambda: not knows(guarded, fading), what="the end of the key")
        send(guarded, 8, bearer(callers["admin"]))
        assert list(reader.events()) == [], "what happened after the end of the key is not for it"


@pytest.mark.parametrize("role", [Role.SUBMIT, Role.METRICS])
def test_events_are_for_readers(guarded: httpx.Client, callers: dict[str, str], role: Role) -> None:
    assert knows(guarded, callers[role])
    for headers, status in (({}, 401), (bearer(callers[role]), 403)):
        assert guarded.get("/v1/events", headers=headers, params={"seconds": 0}).status_code == status


# -- a Redis that forgets ----------------------------------------------------------------------------------------------


async def test_listener_of_a_redis_that_forgot_begins_anew(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, redis_url=mortal_redis_server.url) as gateway, gateway.client() as client:
        gateway.wait_ready()
        send(client, 1)
        with listening(client, headers={"Last-Event-ID": "0-0"}) as reader:
            heard = next(reader.events()).id
            async with connect_gateway(mortal_redis_server.settings) as redis:
                await redis.delete(keys.EVENTS)
            mortal_redis_server.kill()
            mortal_redis_server.start()
            assert list(reader.events()) == [], "nobody knows what it missed, so it ends"
        with client.stream("GET", "/v1/events", headers={"Last-Event-ID": heard}, params={"seconds": 0}) as response:
            assert [event.name for event in EventReader(response.iter_lines()).events()] == ["reset"]
