"""Ends tasks for certain. Knows not what they do; below whatever runs some beside its work."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final

_ATTEMPT_SECONDS: Final = 0.5
_ATTEMPTS: Final = 10


async def end(tasks: Collection[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Cancel tasks until they have ended; return those that have not after five seconds, which is a bug.

    One cancellation may not do: where it meets the end of a write to Redis, ``asyncio.wait_for`` of Python 3.11
    swallows it, by which redis-py bounds its writes, and the task goes on for ever. So none of them may wait for
    endless tasks in an ``asyncio.TaskGroup``, which cancels its own once, however often it is cancelled itself.
    """
    left = {task for task in tasks if not task.done()}
    for _ in range(_ATTEMPTS):
        if not left:
            break
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_ATTEMPT_SECONDS)
    return left
