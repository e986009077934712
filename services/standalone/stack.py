"""Redis, gateway, workers and what connects a PACS, as one thing that starts, stays up and stops in order.

Starts only what ``plan`` has found to be right.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
from pydantic import SecretStr

from services.api.listening import url_of
from services.jobs.connection import connect_gateway
from services.jobs.errors import QueueUnavailable, QueueUnsafe
from services.jobs.queue import JobQueue
from services.jobs.records import ModelReference
from services.jobs.settings import RedisSettings, SettingsError
from services.standalone.child import Child
from services.standalone.pacs import Neighbour, delivery_neighbour, dimse_neighbour
from services.standalone.plan import Plan, StackOptions, api_child, make_plan, redis_child, worker_child

_POLL_SECONDS: Final = 0.1
_PROBE_SECONDS: Final = 5.0
_FOREIGN_REDIS_SECONDS: Final = 5.0


class Stack:
    """The processes of one data directory. Made by ``running_stack``.

    Attributes
    ----------
    url
        Where the gateway is reached from this machine.
    model
        What the workers serve, once ``start`` has returned: the active bundle, not always the one named at start.
    overruled
        The bundle that the operator named, where another one that was activated is served instead.
    """

    model: ModelReference
    overruled: Path | None = None

    def __init__(self, plan: Plan, options: StackOptions) -> None:
        self._plan = plan
        self.url = url_of(plan.listener)
        self._redis_settings = RedisSettings(url=SecretStr(plan.redis_url))
        self._redis = redis_child(plan, options)
        self._api = api_child(plan, options)
        self._dimse = dimse_neighbour(plan, options)
        self._delivery = delivery_neighbour(plan, options)
        self._workers = [worker_child(plan, options, number) for number in range(options.workers)]
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Return when films are taken and scored.

        Raises
        ------
        SettingsError
            If Redis does not answer, or could lose films.
        """
        started_ms = time.time_ns() // 1_000_000
        client = connect_gateway(self._redis_settings)
        queue = JobQueue(client)
        try:
            if self._redis is not None:
                self._supervise(self._redis)
            # Our own Redis may have much to load, and its death is noticed; one that is not ours has to be there.
            await _redis_answers(queue, seconds=_FOREIGN_REDIS_SECONDS if self._redis is None else math.inf)
            for child in self._ours():
                self._supervise(child)
            await _is_ready(f"{self.url}/health/ready")
            self.model = await _workers_announce(queue, count=len(self._workers), since_ms=started_ms)
            for neighbour in filter(None, (self._dimse, self._delivery)):
                await _is_ready(neighbour.ready_url)
        finally:
            await client.aclose()
        if self._plan.named_digest not in (None, self.model.digest):
            self.overruled = self._plan.bundle
        for child in self._children():
            child.settle()

    async def failed(self) -> None:
        """Wait until a child cannot go on, and raise its ``ChildFailed``."""
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Stop in order: no new films, then finish what is held, then Redis."""
        await asyncio.gather(*(child.stop() for child in self._doors()))
        await asyncio.gather(*(child.stop() for child in self._behind()))
        if self._redis is not None:
            await self._redis.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._failure.cancel()

    def hurry(self) -> None:
        """End everything but Redis at once. Redis still stops gracefully, and nothing accepted is lost."""
        for child in self._ours():
            child.kill()

    def _doors(self) -> Iterator[Child]:
        """Yield what takes films in."""
        yield self._api
        yield from _children_of(self._dimse)

    def _behind(self) -> Iterator[Child]:
        """Yield what works on films that were taken."""
        yield from self._workers
        yield from _children_of(self._delivery)

    def _ours(self) -> Iterator[Child]:
        yield from self._doors()
        yield from self._behind()

    def _children(self) -> Iterator[Child]:
        yield from self._ours()
        if self._redis is not None:
            yield self._redis

    def _supervise(self, child: Child) -> None:
        task = asyncio.create_task(child.run(), name=child.name)
        task.add_done_callback(self._note_end)
        self._tasks.append(task)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._failure.done() and (error := task.exception()) is not None:
            self._failure.set_exception(error)


@contextlib.asynccontextmanager
async def running_stack(options: StackOptions) -> AsyncIterator[Stack]:
    """Check everything, then hand out a stack that is stopped on the way out, whatever happens.

    Raises
    ------
    SettingsError
        If a setting is unknown or wrong, the port is taken, no Redis is found, or another stack has the directory.
    BundleError
        If the bundle is missing, tampered with, or not servable.
    """
    with ExitStack() as resources:
        plan = make_plan(options, resources)
        stack = Stack(plan, options)
        try:
            yield stack
        finally:
            await stack.stop()


async def first_of(*waits: Awaitable[None]) -> None:
    """Return when one of them ends, or raise its error; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _children_of(neighbour: Neighbour | None) -> Iterator[Child]:
    if neighbour is not None:
        yield neighbour.child


async def _is_ready(url: str) -> None:
    """Wait until a process says that it is."""
    async with httpx.AsyncClient(trust_env=False, timeout=_PROBE_SECONDS) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).is_success:
                    return
            await asyncio.sleep(_POLL_SECONDS)


async def _redis_answers(queue: JobQueue, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await queue.check_durability()
        except QueueUnsafe as error:
            raise SettingsError(f"CXR_REDIS_URL: {error}") from error
        except QueueUnavailable as error:
            if time.monotonic() > deadline:
                raise SettingsError(f"no Redis answers at CXR_REDIS_URL within {seconds:.0f} s") from error
        await asyncio.sleep(_POLL_SECONDS)


async def _workers_announce(queue: JobQueue, *, count: int, since_ms: int) -> ModelReference:
    """Wait for as many workers as were started, and return what one serves; those of an earlier run may be listed."""
    while True:
        with contextlib.suppress(QueueUnavailable):
            ours = [worker for worker in await queue.workers() if worker.beat_ms >= since_ms]
            if len(ours) >= count:
                return ours[0].model
        await asyncio.sleep(_POLL_SECONDS)
