"""Reading and drawing kept pictures in threads of their own: so many at once, so many waiting, and no more.

Pictures are the least of what a gateway does. A page full of them, or a spool that hangs under them, must leave the
threads that write uploads alone. Knows neither pictures nor HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from services.api.errors import PicturesBusy

# Two threads draw about forty a second; those that wait have theirs within a second.
_THREADS: Final = 2
_MOST_WAITING: Final = 32


class Drawings:
    """Runs what draws a picture, and refuses what would wait too long."""

    def __init__(self, *, threads: int = _THREADS, most_waiting: int = _MOST_WAITING) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="drawings")
        self._places = threads + most_waiting
        self._taken = 0

    async def draw(self, picture: Callable[[], bytes]) -> bytes:
        """Return what ``picture`` returns, or raise what it raises.

        Raises
        ------
        PicturesBusy
            If as many wait as may; nothing was begun.
        """
        if self._taken >= self._places:
            raise PicturesBusy("Too many pictures are being drawn. Repeat the request after Retry-After seconds.")
        self._taken += 1
        drawing = asyncio.get_running_loop().run_in_executor(self._threads, picture)
        # A place is free when its thread is back, not when its caller has lost patience.
        drawing.add_done_callback(self._give_back)
        return await asyncio.shield(drawing)

    def close(self) -> None:
        """Begin nothing more; what a thread has begun is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _give_back(self, _: asyncio.Future[bytes]) -> None:
        self._taken -= 1
