"""The memory of a batch belongs to its films until the runtime has read it, whoever has stopped waiting meanwhile."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import numpy as np
import pytest

from model.decision import Score
from model.demographics import AgeSex
from model.errors import InferenceError
from model.image import Tensor
from services.worker.batching import Batcher, BatchPolicy, ScoredFilm
from services.worker.heartbeat import Watchdog


class HeldScorer:
    """Reads its films as late as it can: when it is let, at the end. ``read`` has their levels, batch by batch."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []
        self.started = threading.Event()
        self.may_end = threading.Event()
        self.ended = threading.Event()
        self.fails = False

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        self.started.set()
        assert self.may_end.wait(10)
        self.read.append([int(tensor.mean()) for tensor in tensors])
        self.ended.set()
        if self.fails:
            self.fails = False
            raise InferenceError("out of memory")
        return [Score(probability=float(tensor.mean()) / 255) for tensor in tensors]


def film(level: int) -> Tensor:
    return np.full((1, 4, 4), level, dtype=np.uint8)


@pytest.fixture
def scorer() -> HeldScorer:
    return HeldScorer()


@pytest.fixture
def batcher(scorer: HeldScorer) -> Batcher:
    return Batcher(scorer, policy=BatchPolicy(max_films=2, patience_seconds=0.0), watchdog=Watchdog(seconds=60))


async def under_way(batcher: Batcher, scorer: HeldScorer) -> tuple[asyncio.Task[None], asyncio.Future[ScoredFilm]]:
    """Begin a batch of one film of level 7; return what runs it, and its answer to be."""
    running = asyncio.create_task(batcher.run())
    answer = batcher.score(film(7))
    assert await asyncio.to_thread(scorer.started.wait, 10)
    return running, answer


async def ended(running: asyncio.Task[None]) -> None:
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_batch_that_nobody_waits_for_keeps_its_memory_until_it_was_read(
    batcher: Batcher, scorer: HeldScorer
) -> None:
    running, abandoned = await under_way(batcher, scorer)
    abandoned.cancel()
    others = [batcher.score(film(level)) for level in range(20, 26)]
    scorer.may_end.set()
    scored = await asyncio.gather(*others)
    assert scorer.read == [[7], [20, 21], [22, 23], [24, 25]]
    assert [round(one.score.probability * 255) for one in scored] == list(range(20, 26))
    await ended(running)


async def test_a_batch_that_a_stop_cuts_off_keeps_its_memory_for_good(batcher: Batcher, scorer: HeldScorer) -> None:
    running, _ = await under_way(batcher, scorer)
    await ended(running)
    late = [batcher.score(film(level)) for level in range(20, 26)]
    scorer.may_end.set()
    assert await asyncio.to_thread(scorer.ended.wait, 10)
    assert scorer.read == [[7]]
    assert not any(one.done() for one in late), "they are given back with the rest of what this worker holds"


async def test_films_after_a_batch_that_failed_are_their_own(batcher: Batcher, scorer: HeldScorer) -> None:
    scorer.fails = True
    running, failing = await under_way(batcher, scorer)
    others = [batcher.score(film(level)) for level in range(20, 24)]
    scorer.may_end.set()
    scored = await asyncio.gather(failing, *others, return_exceptions=True)
    assert isinstance(scored[0], InferenceError)
    assert scorer.read == [[7], [20, 21], [22, 23]]
    assert [round(one.result().score.probability * 255) for one in others] == list(range(20, 24))
    await ended(running)
