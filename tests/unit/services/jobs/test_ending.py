"""Tasks end, also where something below them swallows a cancellation."""

from __future__ import annotations

import asyncio
import contextlib

from services.jobs.ending import end


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again() -> None:
    started = asyncio.Event()

    async def deaf_once() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            started.set()
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    task = asyncio.create_task(deaf_once())
    await started.wait()
    assert await end([task]) == set()
    assert task.cancelled()


async def test_what_has_ended_already_is_left_alone() -> None:
    task = asyncio.create_task(asyncio.sleep(0, "answer"))
    await task
    assert await end([task]) == set()
    assert task.result() == "answer"
