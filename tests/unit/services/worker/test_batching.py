from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import numpy as np
import pytest

from model.decision import Score
from model.demographics import AgeSex, encode_age_sex
from model.errors import InferenceError
from model.image import Tensor
from services.worker.batching import Batcher, BatchPolicy, BatchScorer, ScoredFilm
from services.worker.heartbeat import Watchdog


class MeanScorer:
    """Scores a film by its mean, remembers batches, and runs only while it is let.

    What it was told of age and sex comes back as a film's embedding.
    """

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.memories: set[int] = set()
        self.threads: set[str] = set()
        self.may_run = threading.Event()
        self.may_run.set()
        self.started = threading.Event()

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        self.started.set()
        assert self.may_run.wait(10)
        self.batches.append(len(tensors))
        self.memories.add(tensors.ctypes.data)
        self.threads.add(threading.current_thread().name)
        if any(tensor.max() == 255 for tensor in tensors):
            raise InferenceError("out of memory")
        rows = [None] * len(tensors) if age_sex is None else list(age_sex)
        return [
            Score(probability=float(tensor.mean()) / 255, embedding=row)
            for tensor, row in zip(tensors, rows, strict=True)
        ]


def film(level: int) -> Tensor:
    return np.full((1, 4, 4), level, dtype=np.uint8)


Start = Callable[[BatchScorer, BatchPolicy], Awaitable[Batcher]]
NO_WAIT = BatchPolicy(max_films=4, patience_seconds=0.0)
PATIENT = BatchPolicy(max_films=4, patience_seconds=60.0)
TWO_AT_ONCE = BatchPolicy(max_films=2, patience_seconds=0.0, at_once=2)


@pytest.fixture
def watched() -> Watchdog:
    return Watchdog(seconds=60)


@pytest.fixture
async def start(watched: Watchdog) -> AsyncIterator[Start]:
    tasks: list[asyncio.Task[None]] = []

    async def build(scorer: BatchScorer, policy: BatchPolicy) -> Batcher:
        batcher = Batcher(scorer, policy=policy, watchdog=watched)
        tasks.append(asyncio.create_task(batcher.run()))
        return batcher

    yield build
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_every_film_gets_its_own_score(start: Start) -> None:
    scorer = MeanScorer()
    batcher = await start(scorer, NO_WAIT)
    scored = await asyncio.gather(*(batcher.score(film(level)) for level in range(10)))
    assert [round(one.score.probability * 255) for one in scored] == list(range(10))
    assert all(one.inference_ms >= 0 for one in scored)


async def test_every_film_is_scored_with_its_own_age_and_sex_whatever_its_company(start: Start) -> None:
    scorer = MeanScorer()
    scorer.may_run.clear()
    batcher = await start(scorer, NO_WAIT)
    patients = {level: encode_age_sex(level if level % 3 else None, "FMO"[level % 3]) for level in range(10)}
    scoring = [batcher.score(film(level), row) for level, row in patients.items()]
    await asyncio.to_thread(scorer.started.wait, 10)
    scoring[2].cancel()  # a film that leaves must not shift its neighbours' rows
    scorer.may_run.set()
    scored = await asyncio.gather(*scoring, return_exceptions=True)
    assert isinstance(scored[2], asyncio.CancelledError)
    assert max(scorer.batches) > 1
    for level, row in patients.items():
        if level != 2:
            assert round(scored[level].score.probability * 255) == level
            np.testing.assert_array_equal(scored[level].score.embedding, row)


async def test_a_film_without_age_and_sex_is_unknown_beside_one_that_has_them(start: Start) -> None:
    scorer = MeanScorer()
    batcher = await start(scorer, NO_WAIT)
    alone = await batcher.score(film(1))
    assert alone.score.embedding is None
    known = encode_age_sex(60, "F")
    with_row, without = await asyncio.gather(batcher.score(film(2), known), batcher.score(film(3)))
    np.testing.assert_array_equal(with_row.score.embedding, known)
    np.testing.assert_array_equal(without.score.embedding, [np.nan, np.nan])


async def test_films_that_come_while_a_batch_runs_form_the_next_one_up_to_the_limit(start: Start) -> None:
    scorer = MeanScorer()
    scorer.may_run.clear()
    batcher = await start(scorer, NO_WAIT)
    first = batcher.score(film(0))
    await asyncio.to_thread(scorer.started.wait, 10)
    rest = [batcher.score(film(level)) for level in range(1, 7)]
    scorer.may_run.set()
    await asyncio.gather(first, *rest)
    assert scorer.batches == [1, 4, 2]


class MeetingScorer(MeanScorer):
    """Scores nothing until two batches are under way together."""

    def __init__(self) -> None:
        super().__init__()
        self.meeting = threading.Barrier(2)

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        self.meeting.wait(60)
        return super().score(tensors, age_sex)


async def test_so_many_batches_are_scored_at_once_as_the_policy_says(start: Start) -> None:
    scorer = MeetingScorer()
    batcher = await start(scorer, TWO_AT_ONCE)
    scored = await asyncio.gather(*(batcher.score(film(level)) for level in range(8)))
    assert [round(one.score.probability * 255) for one in scored] == list(range(8))
    assert scorer.batches == [2, 2, 2, 2]
    assert len(scorer.threads) == 2


async def test_a_batch_that_fails_leaves_the_one_beside_it_alone(start: Start) -> None:
    batcher = await start(MeetingScorer(), TWO_AT_ONCE)
    failing, failing_too, *others = [batcher.score(film(level)) for level in (255, 254, 1, 2)]
    for one in (failing, failing_too):
        with pytest.raises(InferenceError):
            await one
    assert [round((await one).score.probability * 255) for one in others] == [1, 2]


async def test_no_film_lies_in_memory_that_another_batch_is_scored_from(start: Start) -> None:
    batcher = await start(MeanScorer(), TWO_AT_ONCE)

    async def scores(caller: int) -> None:
        for level in range(caller, 255, 7):
            assert round((await batcher.score(film(level))).score.probability * 255) == level

    await asyncio.gather(*(scores(caller) for caller in range(7)))


class BreakingScorer(MeanScorer):
    """Breaks on a white film, as nobody has foreseen."""

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        if tensors.max() == 255:
            raise ValueError("a bug")
        return super().score(tensors, age_sex)


async def test_what_nobody_foresaw_ends_the_batcher_though_the_batch_beside_it_hangs(watched: Watchdog) -> None:
    scorer = BreakingScorer()
    scorer.may_run.clear()
    batcher = Batcher(scorer, policy=TWO_AT_ONCE, watchdog=watched)
    running = asyncio.create_task(batcher.run())
    try:
        hanging = batcher.score(film(1))
        await asyncio.to_thread(scorer.started.wait, 10)
        broken = batcher.score(film(255))
        with pytest.raises(ExceptionGroup) as raised:
            await running
        assert raised.group_contains(ValueError, match="a bug")
        # Neither has a score: the worker ends, another takes them over.
        assert [hanging.done(), broken.done()] == [False, False]
    finally:
        scorer.may_run.set()


def test_batches_that_wait_for_company_are_scored_one_at_a_time() -> None:
    with pytest.raises(ValueError, match="one at a time"):
        BatchPolicy(max_films=2, patience_seconds=0.1, at_once=2)


async def test_inference_never_runs_on_the_event_loop(start: Start) -> None:
    scorer = MeanScorer()
    batcher = await start(scorer, NO_WAIT)
    await asyncio.gather(*(batcher.score(film(1)) for _ in range(5)))
    assert len(scorer.threads) == 1
    assert threading.current_thread().name not in scorer.threads


async def test_a_batch_that_fails_fails_its_films_and_the_next_one_is_scored(start: Start) -> None:
    batcher = await start(MeanScorer(), NO_WAIT)
    with pytest.raises(InferenceError):
        await batcher.score(film(255))
    assert (await batcher.score(film(51))).score.probability == pytest.approx(0.2)


async def test_a_film_nobody_waits_for_is_left_out(start: Start) -> None:
    scorer = MeanScorer()
    scorer.may_run.clear()
    batcher = await start(scorer, NO_WAIT)
    first = batcher.score(film(0))
    await asyncio.to_thread(scorer.started.wait, 10)
    unwanted, wanted = (batcher.score(film(level)) for level in (1, 2))
    unwanted.cancel()
    scorer.may_run.set()
    await asyncio.gather(first, wanted)
    assert scorer.batches == [1, 1]
    assert wanted.result().score.probability == pytest.approx(2 / 255)


async def test_a_batch_with_patience_waits_for_films_that_are_on_their_way(start: Start) -> None:
    scorer = MeanScorer()
    batcher = await start(scorer, PATIENT)
    with batcher.expecting():
        first = batcher.score(film(0))
    with batcher.expecting(), batcher.expecting():
        assert not await within_a_moment(first)
        second = batcher.score(film(1))
    await asyncio.gather(first, second)
    assert scorer.batches == [2]


async def test_a_batch_with_patience_starts_at_once_where_no_film_is_on_its_way(start: Start) -> None:
    scorer = MeanScorer()
    batcher = await start(scorer, PATIENT)
    await batcher.score(film(0))
    assert scorer.batches == [1]


async def test_a_batch_with_patience_starts_when_it_is_full(start: Start) -> None:
    scorer = MeanScorer()
    batcher = await start(scorer, PATIENT)
    with batcher.expecting():
        await asyncio.gather(*(batcher.score(film(level)) for level in range(8)))
    assert scorer.batches == [4, 4]


async def test_no_film_waits_longer_for_company_than_its_batch_has_patience(start: Start) -> None:
    scorer = MeanScorer()
    batcher = await start(scorer, BatchPolicy(max_films=4, patience_seconds=0.05))
    with batcher.expecting():
        await batcher.score(film(0))
    assert scorer.batches == [1]


async def test_a_film_is_its_own_although_the_memory_that_it_came_from_is_the_next_films(start: Start) -> None:
    scorer = MeanScorer()
    scorer.may_run.clear()
    batcher = await start(scorer, NO_WAIT)
    shared = film(0)
    scoring = []
    for level in range(10):
        shared[:] = level
        scoring.append(batcher.score(shared))
    scorer.may_run.set()
    assert [round(one.score.probability * 255) for one in await asyncio.gather(*scoring)] == list(range(10))


async def test_batches_are_scored_in_memory_that_is_used_again(start: Start) -> None:
    scorer = MeanScorer()
    batcher = await start(scorer, NO_WAIT)
    for _ in range(20):
        await asyncio.gather(*(batcher.score(film(level)) for level in range(8)))
    assert len(scorer.memories) <= 3


async def test_a_tensor_of_another_size_is_never_spread_over_a_row(start: Start) -> None:
    batcher = await start(MeanScorer(), NO_WAIT)
    await batcher.score(film(1))
    with pytest.raises(AssertionError):
        batcher.score(np.full((1, 1, 1), 9, np.uint8))


async def within_a_moment(answer: asyncio.Future[ScoredFilm], *, seconds: float = 0.05) -> bool:
    """Return whether an answer comes soon; a machine however slow gives none that is not to come."""
    done, _ = await asyncio.wait({answer}, timeout=seconds)
    return bool(done)


async def test_batches_lie_in_memory_of_the_scorers_choice(watched: Watchdog) -> None:
    scorer = MeanScorer()
    chosen: list[Tensor] = []

    def new_memory(films: int) -> Tensor:
        chosen.append(np.empty((films, 1, 4, 4), np.uint8))
        return chosen[-1]

    batcher = Batcher(scorer, policy=NO_WAIT, watchdog=watched, new_memory=new_memory)
    running = asyncio.create_task(batcher.run())
    await batcher.score(film(7))
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert scorer.memories == {memory.ctypes.data for memory in chosen}
