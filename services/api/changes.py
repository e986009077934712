"""What changes, as it changes: one reader of Redis' events for the whole process, however many listen.

Owns the last changes in memory; who listens keeps a place among them and nothing else, so that slow ones cost nothing.
The stream is capped and lossy by design, and so is this: records and pages are the truth. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from fastapi.sse import format_sse_event
from redis.asyncio import Redis

from services.jobs import keys
from services.jobs.connection import translate_redis_errors
from services.jobs.errors import QueueUnavailable

# A minute at thirty films a second. Who was away for longer asks for the page anew.
CHANGES_KEPT: Final = 4_000
_BLOCK_MS: Final = 1000
_EVENTS_PER_READ: Final = 1000
_RECONNECT_SECONDS: Final = 1.0
# After a reading: what comes meanwhile is read at once, instead of each change by itself. A film has two.
_GATHER_SECONDS: Final = 0.01
# Listeners are woken at once, but then not again so soon: a thousand of them cost 30 ms a time.
_WAKE_SECONDS: Final = 0.5
_BEFORE_ALL: Final = "0-0"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of one film, or of what is known of a study: then ``film_id`` is empty.

    ``entry`` is its id in Redis' stream.
    """

    entry: str
    film_id: str
    study_uid: str
    site: str
    state: str
    outcome: str | None

    @cached_property
    def frame(self) -> bytes:
        """The change as a server-sent event, written once for all who listen."""
        if not self.film_id:
            data = json.dumps({"study_uid": self.study_uid, "site": self.site}, separators=(",", ":"))
            return format_sse_event(data_str=data, event="study", id=self.entry)
        facts = {"id": self.film_id, "study_uid": self.study_uid, "site": self.site}
        data = json.dumps(facts | {"state": self.state, "outcome": self.outcome}, separators=(",", ":"))
        return format_sse_event(data_str=data, event="film", id=self.entry)


class Changes:
    """The last changes, by their place in an endless row.

    Parameters
    ----------
    redis
        A client whose timeout is longer than the blocking read.
    on_change
        Called once for every change that is heard, at once.
    """

    def __init__(self, redis: Redis, *, on_change: Callable[[Change], None], kept: int = CHANGES_KEPT) -> None:
        self._redis = redis
        self._on_change = on_change
        self._most = kept
        self._kept: list[Change] = []
        self._first = 0  # place of the oldest one kept
        self._before_first: str | None = None  # entry of the one before it, if anybody knows
        self._position = _BEFORE_ALL
        self._news = asyncio.Event()
        self._waking: asyncio.TimerHandle | None = None
        self._woken_at = 0.0
        self._is_in_doubt = True
        self._wakes_for_good = False

    # -- who listens ---------------------------------------------------------------------------------------------------
    @property
    def end(self) -> int:
        """The place of the next change."""
        return self._first + len(self._kept)

    @property
    def last_entry(self) -> str | None:
        """The id of the last change that was heard; ``None`` where nobody knows."""
        return self._kept[-1].entry if self._kept else self._before_first

    def place_after(self, entry: str) -> int | None:
        """Return the place behind the change with this id, or ``None`` where it is not known here, or no more."""
        if entry == self._before_first:
            return self._first
        for at in range(len(self._kept) - 1, -1, -1):
            if self._kept[at].entry == entry:
                return self._first + at + 1
        return None

    def since(self, place: int) -> Sequence[Change] | None:
        """Return the changes from a place on; ``None`` where some of them are not kept any more."""
        return None if place < self._first else self._kept[place - self._first :]

    async def wait(self, place: int, seconds: float) -> None:
        """Return when there is a change at this place, when somebody is woken for another reason, or after a time."""
        if self.end > place and self._waking is None:
            return
        news = self._news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return

    def wake_all(self) -> None:
        """Wake who waits, now."""
        self._waking = None
        self._woken_at = time.monotonic()
        self._news.set()
        if not self._wakes_for_good:
            self._news = asyncio.Event()

    def wake_for_good(self) -> None:
        """Wake who waits, and whoever is about to: nobody waits any more."""
        self._wakes_for_good = True
        self.wake_all()

    # -- the reader ----------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Read until cancelled. A lost connection is retried for ever; who waits then relies on looking again."""
        while True:
            try:
                if self._is_in_doubt:
                    await self._catch_up()
                await self._read()
            except QueueUnavailable:
                self._is_in_doubt = True
                await asyncio.sleep(_RECONNECT_SECONDS)

    def doubt(self) -> None:
        """Note that Redis may be another one, or have forgotten: clients come back to it without a word of that."""
        self._is_in_doubt = True

    async def _catch_up(self) -> None:
        """Take over what the stream holds: all of it at a start, later what was missed.

        Where the last change that was heard is not in the stream any more, nobody knows what was missed: a Redis that
        forgot, another one, or too long an outage. Nor where the first one kept is missing from a stream that is short
        enough to hold it: Redis forgot, and something happened since. Every place from before is void then.
        """
        self._is_in_doubt = False
        with translate_redis_errors():
            tail: Any = await self._redis.xrevrange(keys.EVENTS, count=self._most)
        entries, last = [entry for entry, _ in tail], self.last_entry
        is_whole = len(tail) < self._most
        has_forgotten = is_whole and bool(self._kept) and self._kept[0].entry not in entries
        if last in entries and not has_forgotten:
            self._hear(tail[: entries.index(last)][::-1])
            return
        if last == _BEFORE_ALL and is_whole:  # nothing had ever happened: all of this was missed
            self._hear(tail[::-1])
            return
        self._first = self.end + 1
        self._kept = [change for entry, fields in reversed(tail) if (change := _change(entry, fields)) is not None]
        self._before_first = _BEFORE_ALL if is_whole else None
        self._position = entries[0] if entries else _BEFORE_ALL
        self._wake_soon()

    async def _read(self) -> None:
        with translate_redis_errors():
            # redis-py's type tells nothing of the shape: [[stream, [[id, {field: value}]]]] by protocol 2.
            answer: Any = await self._redis.xread(
                {keys.EVENTS: self._position}, count=_EVENTS_PER_READ, block=_BLOCK_MS
            )
        for _stream, entries in answer or ():
            self._hear(entries)
            await asyncio.sleep(_GATHER_SECONDS)

    def _hear(self, entries: Sequence[tuple[str, dict[str, str]]]) -> None:
        for entry, fields in entries:
            self._position = entry
            change = _change(entry, fields)
            if change is not None:
                self._kept.append(change)
                self._on_change(change)
        too_many = len(self._kept) - self._most
        if too_many > 0:
            self._first += too_many
            self._before_first = self._kept[too_many - 1].entry
            del self._kept[:too_many]
        if entries:
            self._wake_soon()

    def _wake_soon(self) -> None:
        if self._waking is None:
            seconds = max(0.0, self._woken_at + _WAKE_SECONDS - time.monotonic())
            self._waking = asyncio.get_running_loop().call_later(seconds, self.wake_all)


def _change(entry: str, fields: dict[str, str]) -> Change | None:
    """Return what an entry tells, or ``None`` where somebody else wrote it."""
    try:
        return Change(
            entry=entry,
            film_id=fields["id"],
            study_uid=fields["study"],
            site=fields["site"],
            state=fields["state"],
            outcome=fields["outcome"] or None,
        )
    except KeyError:
        return None
