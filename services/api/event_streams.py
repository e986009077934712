"""Server-sent events for those who may see them: from a place among the changes on, until the session ends.

A listener is a place in a row that all share, never a queue of its own: who reads slowly falls behind the row's end and
is cut off; it comes again and is told to start anew (``reset``). Knows no Redis.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fastapi import Request
from fastapi.sse import format_sse_event

from services.api.access.guard import Guard
from services.api.changes import Changes
from services.api.errors import ApiError, StreamsBusy
from services.api.scopes import Caller
from services.jobs.errors import JobsError

# Half of the connections of a gateway: uploads and polls need some, too.
MOST_STREAMS: Final = 2048
# Half of these: a thousand dashboards that share a key find room, and no key takes that of all others.
MOST_OF_A_KEY: Final = 1024
# Below the minute after which proxies cut a silent connection; also how late a session's end is noticed.
HEARTBEAT_SECONDS: Final = 15.0
# When browsers come again. Not all at the same moment, where a gateway was restarted.
_RETRY_MS: Final = (2_000, 8_000)
_RESET: Final = "reset"


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who listens, and to what.

    Attributes
    ----------
    sites
        ``None`` is every site.
    last_entry
        ``Last-Event-ID``: the last event that it has; ``None`` where it has none.
    seconds
        After which it wants the stream to end; ``None`` where it has no wish.
    """

    request: Request
    caller: Caller
    sites: Collection[str] | None
    last_entry: str | None
    seconds: float | None


class EventStreams:
    """Opens streams, so many at once and no more."""

    def __init__(
        self,
        changes: Changes,
        guard: Guard,
        *,
        most: int = MOST_STREAMS,
        most_of_a_key: int = MOST_OF_A_KEY,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._changes = changes
        self._guard = guard
        self._most = most
        self._most_of_a_key = most_of_a_key
        self._heartbeat_seconds = heartbeat_seconds
        self._is_stopping = False
        self._open: Counter[str | None] = Counter()

    @property
    def open(self) -> int:
        """How many are open."""
        return self._open.total()

    def stream(self, listener: Listener) -> AsyncIterator[bytes]:
        """Return the stream's bytes, as they come; raise ``StreamsBusy`` where as many are open as may be.

        The caller of an open gateway has no key, and no limit of its own.
        """
        key_id = listener.caller.key_id
        if self.open >= self._most or (key_id is not None and self._open[key_id] >= self._most_of_a_key):
            raise StreamsBusy("Too many event streams are open. Poll, or come again after Retry-After seconds.")
        return self._counted(listener)

    def stop(self) -> None:
        """End every stream: a process that stops must not be held up by them."""
        self._is_stopping = True
        self._changes.wake_for_good()

    async def _counted(self, listener: Listener) -> AsyncIterator[bytes]:
        key_id = listener.caller.key_id
        self._open[key_id] += 1
        try:
            async with aclosing(self._frames(listener)) as stream:
                async for frames in stream:
                    yield frames
        except (ApiError, JobsError):
            return  # key or session ended, or nobody can say: whoever may still listen comes again
        finally:
            self._open[key_id] -= 1
            if not self._open[key_id]:
                del self._open[key_id]

    async def _frames(self, listener: Listener) -> AsyncGenerator[bytes, None]:
        clock = asyncio.get_running_loop().time
        ends_at = clock() + _seconds_left(listener)
        place, entry, opening = self._opening(listener)
        yield opening
        beat_at = clock() + self._heartbeat_seconds
        while not self._is_stopping:
            changes = self._changes.since(place)
            if changes is None:
                return
            self._guard.check_again(listener.caller)
            if changes:
                place, entry = place + len(changes), changes[-1].entry
            seen = [change.frame for change in changes if listener.sites is None or change.site in listener.sites]
            if seen:
                yield b"".join(seen)
            if clock() >= ends_at:
                return
            if clock() >= beat_at:
                await self._guard.check_session(listener.request)
                beat_at = clock() + self._heartbeat_seconds
                # Keeps the connection, and moves `Last-Event-ID` on where nothing happens at the listener's sites.
                yield format_sse_event(comment="heartbeat", id=entry)
            await self._changes.wait(place, min(ends_at, beat_at) - clock())

    def _opening(self, listener: Listener) -> tuple[int, str | None, bytes]:
        """Return where to begin, the event before that, and what to say first."""
        retry_ms = random.randint(*_RETRY_MS)
        if listener.last_entry is not None:
            place = self._changes.place_after(listener.last_entry)
            if place is not None:
                return place, listener.last_entry, format_sse_event(retry=retry_ms)
        place, entry = self._changes.end, self._changes.last_entry
        if listener.last_entry is None:
            return place, entry, format_sse_event(retry=retry_ms, id=entry)
        return place, entry, format_sse_event(retry=retry_ms, event=_RESET, data_str="{}", id=entry)


def _seconds_left(listener: Listener) -> float:
    """Return for how long the stream may last: as long as key, session and listener want."""
    until = listener.caller.until
    left = float("inf") if until is None else (until - datetime.now(UTC)).total_seconds()
    return left if listener.seconds is None else min(left, listener.seconds)
