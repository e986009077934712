"""A film has one bundle from beginning to end, no batch has films of two, and the old one goes with its last film."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from model.decision import Score
from model.demographics import AgeSex
from model.image import Tensor
from services.jobs.records import ModelReference
from services.worker.batching import BatchScorer
from services.worker.heartbeat import Watchdog
from services.worker.loading import LoadedBundle
from services.worker.switching import ServedBundles
from tests.support.outcomes import eventually
from tests.support.worker_parts import SERVING, loaded_bundle, served_bundles


class NamedScorer:
    """Answers with its own number, and runs only while it is let."""

    def __init__(self, number: float, *, size: int) -> None:
        self.number = number
        self.size = size
        self.batches: list[int] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.started = threading.Event()

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        self.started.set()
        assert self.may_run.wait(10)
        assert tensors.shape[1:] == (1, self.size, self.size)
        self.batches.append(len(tensors))
        return [Score(probability=self.number)] * len(tensors)


def loaded(scorer: BatchScorer, name: str) -> LoadedBundle:
    model = ModelReference(name=name, version="1", digest=name * 64)
    return loaded_bundle(scorer, serving=replace(SERVING, model=model))


Serve = Callable[[BatchScorer], Awaitable[ServedBundles]]


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog(seconds=0.05)


@pytest.fixture
async def serve(watchdog: Watchdog) -> AsyncIterator[Serve]:
    tasks: list[asyncio.Task[None]] = []

    async def build(scorer: BatchScorer) -> ServedBundles:
        bundles = served_bundles(scorer, watchdog=watchdog)
        tasks.append(asyncio.create_task(bundles.run()))
        await asyncio.sleep(0)
        return bundles

    yield build
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def film(bundles: ServedBundles, decoding: asyncio.Event | None = None) -> tuple[str, float]:
    """Assess as the assessor does: lease, decode for that bundle, score there."""
    with bundles.lease() as bundle:
        if decoding is not None:
            await decoding.wait()
        scorer = bundle.loaded.scorer
        assert isinstance(scorer, NamedScorer)
        scored = await bundle.batcher.score(np.zeros((1, scorer.size, scorer.size), np.uint8))
        return bundle.serving.model.name, scored.score.probability


async def test_films_stay_with_the_bundle_that_served_when_they_began(serve: Serve) -> None:
    old, new = NamedScorer(0.1, size=4), NamedScorer(0.2, size=8)
    bundles = await serve(old)
    decoding = asyncio.Event()
    before = [asyncio.create_task(film(bundles, decoding)) for _ in range(3)]
    await asyncio.sleep(0)
    bundles.switch_to(loaded(new, "b"))
    after = [asyncio.create_task(film(bundles, decoding)) for _ in range(3)]
    await asyncio.sleep(0)
    decoding.set()
    assert await asyncio.gather(*before) == [("tiny", 0.1)] * 3
    assert await asyncio.gather(*after) == [("b", 0.2)] * 3
    assert bundles.model.name == "b"
    assert sum(old.batches) == sum(new.batches) == 3


async def test_films_that_wait_for_the_old_bundles_batch_are_scored_by_it(serve: Serve) -> None:
    old, new = NamedScorer(0.1, size=4), NamedScorer(0.2, size=4)
    bundles = await serve(old)
    old.may_run.clear()
    waiting = [asyncio.create_task(film(bundles)) for _ in range(6)]
    await asyncio.to_thread(old.started.wait, 10)
    bundles.switch_to(loaded(new, "b"))
    assert await film(bundles) == ("b", 0.2), "the new bundle does not wait for the old one"
    old.may_run.set()
    assert await asyncio.gather(*waiting) == [("tiny", 0.1)] * 6


async def test_the_old_bundle_is_freed_when_its_last_film_is_done(serve: Serve) -> None:
    old = NamedScorer(0.1, size=4)
    gone, bundles = weakref.ref(old), await serve(old)
    decoding = asyncio.Event()
    last = asyncio.create_task(film(bundles, decoding))
    del old
    await asyncio.sleep(0)
    bundles.switch_to(loaded(NamedScorer(0.2, size=4), "b"))
    await asyncio.sleep(0)
    assert gone() is not None
    decoding.set()
    await last
    del last

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    await eventually(is_gone)


async def test_a_bundle_without_films_is_freed_by_the_switch(serve: Serve) -> None:
    old = NamedScorer(0.1, size=4)
    gone, bundles = weakref.ref(old), await serve(old)
    assert await film(bundles) == ("tiny", 0.1)
    del old
    bundles.switch_to(loaded(NamedScorer(0.2, size=4), "b"))

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    await eventually(is_gone)


async def test_a_bundle_may_come_back_while_its_films_of_before_are_under_way(serve: Serve) -> None:
    old, new, again = (NamedScorer(number, size=4) for number in (0.1, 0.2, 0.3))
    bundles = await serve(old)
    decoding = asyncio.Event()
    first = asyncio.create_task(film(bundles, decoding))
    await asyncio.sleep(0)
    bundles.switch_to(loaded(new, "b"))
    second = asyncio.create_task(film(bundles, decoding))
    await asyncio.sleep(0)
    bundles.switch_to(loaded(again, "a"))
    assert await film(bundles) == ("a", 0.3)
    decoding.set()
    assert await asyncio.gather(first, second) == [("tiny", 0.1), ("b", 0.2)]


async def test_a_switch_before_work_begins_leaves_nothing_of_the_first(watchdog: Watchdog) -> None:
    bundles = served_bundles(NamedScorer(0.1, size=4), watchdog=watchdog)
    bundles.switch_to(loaded(NamedScorer(0.2, size=4), "b"))
    running = asyncio.create_task(bundles.run())
    assert await film(bundles) == ("b", 0.2)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_the_watchdog_sees_an_old_bundle_that_hangs_while_the_new_one_works(
    serve: Serve, watchdog: Watchdog
) -> None:
    old, new = NamedScorer(0.1, size=4), NamedScorer(0.2, size=4)
    bundles = await serve(old)
    old.may_run.clear()
    hanging = asyncio.create_task(film(bundles))
    await asyncio.to_thread(old.started.wait, 10)
    bundles.switch_to(loaded(new, "b"))
    for _ in range(3):
        assert await film(bundles) == ("b", 0.2)
    await eventually(lambda: watchdog.overdue() == "inference")
    old.may_run.set()
    await hanging
    assert watchdog.overdue() is None


async def test_a_batcher_that_breaks_ends_the_whole_worker(watchdog: Watchdog) -> None:
    class Broken(NamedScorer):
        def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
            raise LookupError("a bug of ours")

    bundles = served_bundles(NamedScorer(0.1, size=4), watchdog=watchdog)
    running = asyncio.create_task(bundles.run())
    await asyncio.sleep(0)
    bundles.switch_to(loaded(Broken(0.2, size=4), "b"))
    doomed = asyncio.create_task(film(bundles))
    with pytest.raises(ExceptionGroup):
        await running
    doomed.cancel()
    await asyncio.gather(doomed, return_exceptions=True)
