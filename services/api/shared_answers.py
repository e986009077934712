"""What many dashboards ask at the same moment is asked of Redis once: the worklist's revision, and a page of it.

Nobody is shown what was true before it asked: a look that has begun already is not shared, the next one is. Knows no
HTTP.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

# Of a few hundred lines each at most, about 10 MB.
_PAGES_KEPT: Final = 64


class SharedLook:
    """One look at a time, for everybody who came before it began.

    Parameters
    ----------
    look
        Asks Redis.
    """

    def __init__(self, look: Callable[[], Awaitable[str]]) -> None:
        self._look = look
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
        finally:
            self._under_way, self._next = self._next, None
        return await self._look()


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
