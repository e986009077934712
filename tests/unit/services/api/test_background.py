import asyncio
import contextlib

from services.api.background import running


async def test_tasks_run_beside_the_block_and_end_with_it() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def step() -> None:
        started.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with running({"step": step()}):
        await started.wait()
    assert ended.is_set()


async def test_task_that_swallows_its_cancellation_is_cancelled_again() -> None:
    started = asyncio.Event()

    async def deaf_once() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            started.set()
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    async with asyncio.timeout(30):
        async with running({"deaf": deaf_once()}):
            await started.wait()


async def test_no_tasks_are_fine() -> None:
    async with running({}):
        pass
