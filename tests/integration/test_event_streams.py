"""Changes and the streams made of them, without HTTP: what is kept, who is cut off, when a stream ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import Request
from redis.asyncio import Redis

from services.api.access.guard import Guard
from services.api.access.key_ring import KeyRing
from services.api.access.sessions import COOKIE, Sessions
from services.api.access.throttles import FailureThrottle
from services.api.changes import Change, Changes
from services.api.errors import StreamsBusy
from services.api.event_streams import EventStreams, Listener
from services.api.scopes import ANYBODY, Caller, Role
from services.jobs import keys
from services.jobs.ending import end
from services.jobs.ledger.trail import AuditTrail
from services.jobs.queue import JobQueue
from tests.support.access import id_of, make_key
from tests.support.jobs import make_job
from tests.support.outcomes import eventually
from tests.support.queue_steps import finish, take_one

PATIENCE_SECONDS = 60.0


@asynccontextmanager
async def reading(
    redis: Redis, *, kept: int = 100, heard: Callable[[Change], None] = lambda _: None
) -> AsyncIterator[Changes]:
    """Changes, with their reader at work."""
    changes = Changes(redis, on_change=heard, kept=kept)
    task = asyncio.create_task(changes.run())
    try:
        await eventually(lambda: changes.last_entry is not None)
        yield changes
    finally:
        assert not await end([task])


def entries(changes: Changes, place: int) -> list[str]:
    found = changes.since(place)
    assert found is not None
    return [change.entry for change in found]


# -- changes -----------------------------------------------------------------------------------------------------------
async def test_changes_come_in_order_and_each_is_heard_once(queue: JobQueue, redis_client: Redis) -> None:
    heard: list[Change] = []
    async with reading(redis_client, heard=heard.append) as changes:
        taken = await take_one(queue)
        await finish(queue, taken, flagged=True)
        await eventually(lambda: len(heard) == 2)
        assert [(change.film_id, change.state, change.outcome) for change in heard] == [
            (taken.job.id, "queued", None),
            (taken.job.id, "done", "flagged"),
        ]
        assert changes.since(changes.end - 2) == heard
        assert changes.last_entry == heard[-1].entry


async def test_what_happened_before_a_start_can_be_asked_for_but_is_not_heard(
    queue: JobQueue, redis_client: Redis
) -> None:
    await queue.submit(make_job())
    heard: list[Change] = []
    async with reading(redis_client, heard=heard.append) as changes:
        await queue.submit(make_job())
        await eventually(lambda: len(heard) == 1)
        place = changes.place_after("0-0")
        assert place is not None
        assert len(entries(changes, place)) == 2


async def test_who_falls_behind_what_is_kept_is_told_so(queue: JobQueue, redis_client: Redis) -> None:
    async with reading(redis_client, kept=3) as changes:
        await queue.submit(make_job())
        await eventually(lambda: changes.last_entry != "0-0")
        first, place = changes.last_entry, changes.end - 1
        assert first is not None
        assert changes.place_after(first) == place + 1
        for _ in range(4):
            await queue.submit(make_job())
        await eventually(lambda: changes.end == place + 5)
        assert changes.since(place) is None
        assert len(entries(changes, changes.end - 3)) == 3
        # The first of all is just outside, so what follows it is still known whole; an earlier one is not.
        assert changes.place_after(first) is None
        assert changes.place_after("0-0") is None


async def test_entries_that_somebody_else_wrote_are_passed_over(queue: JobQueue, redis_client: Redis) -> None:
    async with reading(redis_client) as changes:
        await queue.submit(make_job())
        await redis_client.xadd(keys.EVENTS, {"hello": "world"})
        await queue.submit(make_job())
        await eventually(lambda: len(changes.since(changes.place_after("0-0") or 0) or ()) == 2)


async def test_doubt_changes_nothing_where_redis_remembers_and_voids_every_place_where_it_does_not(
    queue: JobQueue, redis_client: Redis
) -> None:
    heard: list[Change] = []
    async with reading(redis_client, heard=heard.append) as changes:
        await queue.submit(make_job())
        await eventually(lambda: len(heard) == 1)
        place = changes.end
        changes.doubt()
        await queue.submit(make_job())
        await eventually(lambda: len(heard) == 2)
        assert entries(changes, place) == [heard[1].entry]
        await redis_client.delete(keys.EVENTS)
        changes.doubt()
        await eventually(lambda: changes.since(changes.end) is not None and changes.since(place) is None)
        assert changes.place_after(heard[1].entry) is None


async def test_redis_that_forgot_is_found_out_also_when_something_happened_since(
    queue: JobQueue, redis_client: Redis
) -> None:
    heard: list[Change] = []
    async with reading(redis_client, heard=heard.append) as changes:
        await queue.submit(make_job())
        await eventually(lambda: len(heard) == 1)
        # A Redis takes longer to forget and come back; an entry of the same millisecond would have the same id.
        await eventually(lambda: 1000 * time.time() > int(heard[0].entry.partition("-")[0]) + 1)
        await redis_client.delete(keys.EVENTS)
        await queue.submit(make_job())
        await eventually(lambda: len(heard) == 2)
        place = changes.end
        changes.doubt()
        await eventually(lambda: changes.since(place) is None)
        assert changes.place_after(heard[0].entry) is None
        assert changes.last_entry == heard[1].entry


async def test_doubt_voids_nothing_where_nothing_had_happened_yet(queue: JobQueue, redis_client: Redis) -> None:
    heard: list[Change] = []
    async with reading(redis_client, heard=heard.append) as changes:
        place = changes.end
        changes.doubt()
        await queue.submit(make_job())
        await eventually(lambda: len(heard) == 1)
        assert entries(changes, place) == [heard[0].entry]


# -- streams -----------------------------------------------------------------------------------------------------------
def request(cookie: str | None = None) -> Request:
    headers = [] if cookie is None else [(b"cookie", f"{COOKIE}={cookie}".encode())]
    return Request({"type": "http", "method": "GET", "path": "/v1/events", "headers": headers, "state": {}})


def listener(caller: Caller = ANYBODY, cookie: str | None = None) -> Listener:
    asked = request(cookie)
    asked.state.caller = caller
    return Listener(request=asked, caller=caller, sites=None, last_entry=None, seconds=None)


@pytest.fixture
def sessions(redis_client: Redis) -> Sessions:
    return Sessions(redis_client, hours=1.0, is_secure=False)


@pytest.fixture
def trail(tmp_path: Path) -> AuditTrail:
    return AuditTrail(tmp_path / "audit", "api")


@pytest.fixture
def key_id(tmp_path: Path) -> str:
    """The key that opens what is guarded."""
    return id_of(make_key(tmp_path / "keys.json", Role.READ))


@pytest.fixture
def guarded(tmp_path: Path, key_id: str, sessions: Sessions, trail: AuditTrail) -> Guard:
    return Guard(
        keys=KeyRing(tmp_path / "keys.json"), sessions=sessions, failures=FailureThrottle(per_minute=9), audit=trail
    )


@pytest.fixture
def open_door(sessions: Sessions, trail: AuditTrail) -> Guard:
    return Guard(keys=None, sessions=sessions, failures=FailureThrottle(per_minute=9), audit=trail)


async def rest_of(stream: AsyncIterator[bytes]) -> list[bytes]:
    """Read a stream to its end, which has to come."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [part async for part in stream]


async def signed_in(key_id: str, sessions: Sessions) -> tuple[Caller, str]:
    token, session = await sessions.begin(key_id)
    return Caller(key_id=key_id, roles=frozenset({Role.READ}), until=session.until), token


async def test_stream_ends_when_its_session_is_signed_out(
    redis_client: Redis, guarded: Guard, sessions: Sessions, key_id: str
) -> None:
    caller, token = await signed_in(key_id, sessions)
    async with reading(redis_client) as changes:
        streams = EventStreams(changes, guarded, heartbeat_seconds=0.01)
        stream = streams.stream(listener(caller, token))
        assert b"retry: " in await anext(stream)
        assert b": heartbeat" in await anext(stream), "the session lives"
        await sessions.end(token)
        await rest_of(stream)
        assert streams.open == 0


async def test_stream_ends_when_its_session_is_over(
    redis_client: Redis, guarded: Guard, sessions: Sessions, key_id: str
) -> None:
    caller, token = await signed_in(key_id, sessions)
    ending = replace(caller, until=datetime.now(UTC) + timedelta(seconds=0.2))
    async with reading(redis_client) as changes:
        assert len(await rest_of(EventStreams(changes, guarded).stream(listener(ending, token)))) == 1


async def test_heartbeats_move_on_the_place_from_which_a_quiet_site_resumes(
    queue: JobQueue, redis_client: Redis, open_door: Guard
) -> None:
    async with reading(redis_client) as changes:
        streams = EventStreams(changes, open_door, heartbeat_seconds=0.01)
        stream = streams.stream(replace(listener(), sites=("elsewhere",)))
        await anext(stream)
        await queue.submit(make_job())
        await eventually(lambda: changes.last_entry != "0-0")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while f"id: {changes.last_entry}\n".encode() not in (part := await anext(stream)):
                pass
        assert b"data:" not in part, "the film is of another site"
        await stream.aclose()  # type: ignore[attr-defined]  # it is an asynchronous generator


async def test_who_reads_too_slowly_is_cut_off(queue: JobQueue, redis_client: Redis, open_door: Guard) -> None:
    async with reading(redis_client, kept=3) as changes:
        stream = EventStreams(changes, open_door).stream(listener())
        await anext(stream)
        begun = changes.end
        for _ in range(5):
            await queue.submit(make_job())
        await eventually(lambda: changes.end >= begun + 5)
        assert await rest_of(stream) == []


async def test_key_has_so_many_streams_and_leaves_room_for_others(
    redis_client: Redis, guarded: Guard, key_id: str
) -> None:
    caller = Caller(key_id=key_id, roles=frozenset({Role.READ}))
    async with reading(redis_client) as changes:
        streams = EventStreams(changes, guarded, most=3, most_of_a_key=1)
        stream = streams.stream(listener(caller))
        await anext(stream)
        with pytest.raises(StreamsBusy):
            streams.stream(listener(caller))
        streams.stream(listener(replace(caller, key_id="another")))
        await stream.aclose()  # type: ignore[attr-defined]  # it is an asynchronous generator
        await anext(streams.stream(listener(caller)))


async def test_stream_ends_when_its_key_is_for_other_sites_by_now(
    redis_client: Redis, guarded: Guard, key_id: str
) -> None:
    caller = Caller(key_id=key_id, roles=frozenset({Role.READ}), sites=frozenset({"elsewhere"}))
    async with reading(redis_client) as changes:
        assert len(await rest_of(EventStreams(changes, guarded).stream(listener(caller)))) == 1


async def test_stop_ends_streams_that_do_not_wait_at_that_moment(redis_client: Redis, open_door: Guard) -> None:
    async with reading(redis_client) as changes:
        streams = EventStreams(changes, open_door, heartbeat_seconds=10 * PATIENCE_SECONDS)
        stream = streams.stream(listener())
        await anext(stream)
        place = changes.end
        streams.stop()
        changes.wake_all()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await changes.wait(place, 10 * PATIENCE_SECONDS)
        assert await rest_of(stream) == []


async def test_streams_are_so_many_and_no_more(redis_client: Redis, open_door: Guard) -> None:
    async with reading(redis_client) as changes:
        streams = EventStreams(changes, open_door, most=1)
        stream = streams.stream(listener())
        await anext(stream)
        with pytest.raises(StreamsBusy):
            streams.stream(listener())
        streams.stop()
        assert await rest_of(stream) == []
        await rest_of(streams.stream(listener()))
