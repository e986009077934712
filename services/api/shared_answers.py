"""What many dashboards ask at the same moment is asked of Redis once: the worklist's revision, a page of it, sessions.

Nobody is shown what was true before it asked: a look that has begun already is not shared, the next one is. Looks may
keep a pause between them, so that a crowd gathers; a few may follow each other at once, so that one who comes alone
waits for nothing. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

# Of a few hundred lines each at most, about 10 MB.
_PAGES_KEPT: Final = 64

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """On average so many seconds between the beginnings of looks, of which so many may be made up for at once."""

    seconds: float = 0.0
    at_once: int = 1


class _Pacing:
    """Keeps a pace: the generic cell rate algorithm of ATM (ITU-T I.371), with one look as the cell."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._due = -float("inf")

    async def begin(self) -> None:
        """Return when the next look may begin, as it does then."""
        loop = asyncio.get_running_loop()
        left = self._due - (self._pace.at_once - 1) * self._pace.seconds - loop.time()
        if left > 0:
            await asyncio.sleep(left)
        self._due = max(self._due, loop.time()) + self._pace.seconds


class SharedLook:
    """One look at a time, for everybody who came before it began.

    Parameters
    ----------
    look
        Asks Redis.
    pace
        How often looks begin.
    """

    def __init__(self, look: Callable[[], Awaitable[str]], *, pace: Pace = Pace()) -> None:
        self._look = look
        self._pacing = _Pacing(pace)
        self._under_way: asyncio.Task[str] | None = None
        self._next: asyncio.Task[str] | None = None

    async def __call__(self) -> str:
        """Return what a look found that began after this call; raise what it raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._begin_after(self._under_way))
            self._next.add_done_callback(_hear)
        return await asyncio.shield(self._next)

    async def _begin_after(self, earlier: asyncio.Task[str] | None) -> str:
        try:
            if earlier is not None and not earlier.done():
                await earlier  # where it fails Redis does not answer, and who waits need not find out once more
            await self._pacing.begin()
        finally:
            self._under_way, self._next = self._next, None
        return await self._look()


class SharedQuestions(Generic[_Answer]):
    """Questions of one kind, asked together: all that came before a look began.

    Parameters
    ----------
    look
        Asks Redis; returns the answers in the order of the questions.
    pace
        As for ``SharedLook``.
    """

    def __init__(self, look: Callable[[Sequence[str]], Awaitable[Sequence[_Answer]]], *, pace: Pace = Pace()) -> None:
        self._look = look
        self._pacing = _Pacing(pace)
        self._questions: dict[str, None] = {}  # in the order in which they came
        self._next: asyncio.Task[dict[str, _Answer]] | None = None

    async def __call__(self, question: str) -> _Answer:
        """Return the answer of a look that began after this call; raise what it raised."""
        if self._next is None:
            self._questions = {}
            self._next = asyncio.create_task(self._begin(self._questions))
            self._next.add_done_callback(_hear)
        self._questions[question] = None
        return (await asyncio.shield(self._next))[question]

    async def _begin(self, questions: dict[str, None]) -> dict[str, _Answer]:
        try:
            await self._pacing.begin()
        finally:
            self._next = None
        asked = list(questions)
        return dict(zip(asked, await self._look(asked), strict=True))


class SharedPages:
    """Pages by the tag that says of which revision they are, and whose question they answer."""

    def __init__(self, *, most: int = _PAGES_KEPT) -> None:
        self._most = most
        self._pages: OrderedDict[str, asyncio.Task[bytes]] = OrderedDict()

    async def page(self, tag: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the page of a tag, made by the first who asks for it; raise what its making raised."""
        making = self._pages.get(tag)
        if making is None:
            making = self._pages[tag] = asyncio.create_task(_made(make))
            making.add_done_callback(lambda made: self._forget_failed(tag, made))
        self._pages.move_to_end(tag)
        if len(self._pages) > self._most:
            self._pages.popitem(last=False)
        return await asyncio.shield(making)

    def _forget_failed(self, tag: str, made: asyncio.Task[bytes]) -> None:
        _hear(made)
        if (made.cancelled() or made.exception() is not None) and self._pages.get(tag) is made:
            del self._pages[tag]


async def _made(make: Callable[[], Awaitable[bytes]]) -> bytes:
    return await make()


def _hear(task: asyncio.Task[Any]) -> None:
    """Take note of a failure that nobody waits for any more: asyncio would log it."""
    if not task.cancelled():
        task.exception()
