"""Where each chain ends, kept in Redis too: whoever cuts the tail of a file would have to change both.

Place in the walk: beside it, every second, after the entries are durable on the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from redis.asyncio import Redis

from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.errors import QueueUnavailable
from services.jobs.ledger.entries import Head
from services.jobs.ledger.trail import AuditTrail

logger = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 5.0


class Heads:
    """The hash of heads in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._note = redis.register_script(lua.source("ledger_head"))

    async def publish(self, file: str, head: Head) -> None:
        """Note that the chain is durable up to this entry; never takes it back. Raises QueueUnavailable."""
        async with bounded(_PATIENCE_SECONDS):
            await self._note(keys=[keys.LEDGER_HEADS], args=[file, head.seq, head.digest])

    async def known(self) -> dict[str, Head]:
        """Return the heads that Redis knows, by file; unreadable ones are left out. Raises QueueUnavailable."""
        async with bounded(_PATIENCE_SECONDS):
            noted: Any = await self._redis.hgetall(keys.LEDGER_HEADS)
        heads = {}
        for file, text in noted.items():
            with suppress(ValueError):
                heads[file] = Head.read(text)
        return heads

    async def forget(self, file: str) -> None:
        """Take a chain off the list that was retired. Raises QueueUnavailable."""
        async with bounded(_PATIENCE_SECONDS):
            await self._redis.hdel(keys.LEDGER_HEADS, file)


@asynccontextmanager
async def running_trail(trail: AuditTrail, redis: Redis) -> AsyncIterator[None]:
    """Write the trail while the block runs, and tell Redis every second how far it is durable."""
    heads, stop = Heads(redis), asyncio.Event()
    trail.start()
    telling = asyncio.create_task(_tell(trail, heads, stop), name="audit heads")
    is_in_order = False
    try:
        yield
        is_in_order = True
    finally:
        stop.set()
        await telling
        await asyncio.to_thread(trail.close, is_in_order=is_in_order)
        if trail.position is not None:
            with suppress(QueueUnavailable):
                await heads.publish(*trail.position)


async def _tell(trail: AuditTrail, heads: Heads, stop: asyncio.Event) -> None:
    told = None
    while not stop.is_set():
        position = trail.position
        if position is not None and position != told:
            with suppress(QueueUnavailable):  # told again in a second
                await heads.publish(*position)
                told = position
        with suppress(TimeoutError):
            async with asyncio.timeout(_EVERY_SECONDS):
                await stop.wait()
