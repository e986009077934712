"""What a gateway runs for feedback ends when it is told to, also where a cancellation is swallowed on the way."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from redis.asyncio import Redis

from services.jobs import blind
from services.jobs.ending import end
from services.jobs.feedback import Feedback
from services.jobs.queue import JobQueue
from services.jobs.settings import ApiSettings
from services.jobs.worklist import Worklist


class DeafOnce:
    """Something that is done again and again, and swallows the first cancellation."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self) -> None:
        if self.begun.is_set():
            await asyncio.sleep(3600)
        with contextlib.suppress(asyncio.CancelledError):
            self.begun.set()
            await asyncio.sleep(3600)


async def test_every_step_ends_although_its_first_cancellation_is_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = Redis()
    feedback = Feedback(redis, JobQueue(redis), Worklist(redis), ApiSettings())
    counting, forgetting = DeafOnce(), DeafOnce()
    monkeypatch.setattr(blind, "EVERY_SECONDS", 0)
    monkeypatch.setattr(feedback.settled, "count_settled", counting)
    monkeypatch.setattr(feedback.tallies, "forget_old", forgetting)
    tasks = [asyncio.create_task(step) for step in feedback.steps().values()]
    await asyncio.gather(counting.begun.wait(), forgetting.begun.wait())
    assert await end(tasks) == set()
    await redis.aclose()
