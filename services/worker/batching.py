"""Gathers tensors into batches as they are decoded, and runs the network in threads of its own.

Owns when a batch starts, who is in it, and the memory that its tensors lie in: a film is copied once, from where it was
decoded into its row. Must not know jobs or Redis. Between ``decoding.pool`` and ``model.decision`` in the walk.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import numpy as np

from model.decision import Score
from model.demographics import AgeSex, unknown_age_sex
from model.errors import InferenceError
from model.image import Tensor
from services.worker import metrics
from services.worker.heartbeat import Watchdog

NewMemory: TypeAlias = Callable[[int], Tensor]

_INFERENCE: Final = "inference"  # what the watchdog calls a batch under way


class BatchScorer(Protocol):
    """What a batcher needs of ``model.runtime.Scorer``."""

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        """Score ``(n, 1, s, s)`` uint8 tensors, ``age_sex`` ``(n, 2)`` theirs, in order; raise ``InferenceError``.

        The tensors' memory is another batch's as soon as this returns. Called from several threads at once.
        """


@dataclass(frozen=True, kw_only=True)
class BatchPolicy:
    """At most ``max_films`` a batch, ``at_once`` batches at once.

    A batch with room waits ``patience_seconds`` for films that are on their way; that is for one batch at a time.
    """

    max_films: int
    patience_seconds: float
    at_once: int = 1

    def __post_init__(self) -> None:
        if self.patience_seconds and self.at_once > 1:
            raise ValueError("batches that wait for company are scored one at a time")


@dataclass(frozen=True, kw_only=True)
class ScoredFilm:
    """A film's score, and how long its batch ran."""

    score: Score
    inference_ms: float


@dataclass(frozen=True)
class _Waiting:
    age_sex: AgeSex | None = field(repr=False)
    answer: asyncio.Future[ScoredFilm]


@dataclass(frozen=True)
class _Batch:
    """Films that will be scored together: row ``i`` of ``memory`` is the tensor of ``films[i]``."""

    memory: Tensor
    began: float
    films: list[_Waiting] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.films) == len(self.memory)

    def add(self, tensor: Tensor, waiting: _Waiting) -> None:
        # numpy would spread a smaller one over the row.
        assert tensor.shape == self.memory.shape[1:], "all films of a bundle have its size"
        self.memory[len(self.films)] = tensor
        self.films.append(waiting)

    def wanted(self) -> tuple[list[_Waiting], Tensor]:
        """Return the films that somebody still waits for, with their tensors: at a stop others cost only time."""
        rows = [row for row, film in enumerate(self.films) if not film.answer.done()]
        if len(rows) == len(self.films):
            return self.films, self.memory[: len(rows)]
        return [self.films[row] for row in rows], self.memory[rows]


class Batcher:
    """Scores films one caller at a time, in batches behind the scenes.

    ``run`` must be running for a score to come. As many batches are scored at once as the policy says, each in a
    thread, so that the event loop stays free for heartbeats and probes. Whatever was decoded meanwhile is the next
    batch: on a CPU, where company gains little (PERFORMANCE.md §A finding 2), that is all; a GPU's batch, whose policy
    has patience, waits for more while films are on their way, and starts at once where none is.

    ``new_memory`` returns room for so many films, ``(n, 1, s, s)`` uint8, from where the scorer reads fastest.
    """

    def __init__(
        self,
        scorer: BatchScorer,
        *,
        policy: BatchPolicy,
        watchdog: Watchdog,
        new_memory: NewMemory | None = None,
    ) -> None:
        self._scorer = scorer
        self._policy = policy
        self._watchdog = watchdog
        self._new_memory = new_memory
        self._batches: deque[_Batch] = deque()  # the first is scored next, the last one takes films
        self._spare: list[Tensor] = []
        self._on_their_way = 0
        self._changed = asyncio.Event()
        self._threads = ThreadPoolExecutor(max_workers=policy.at_once, thread_name_prefix=_INFERENCE)

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Say that a film is on its way until the block ends; it is worth waiting for."""
        self._on_their_way += 1
        try:
            yield
        finally:
            self._on_their_way -= 1
            self._changed.set()

    def score(self, tensor: Tensor, age_sex: AgeSex | None = None) -> asyncio.Future[ScoredFilm]:
        """Score one ``(1, s, s)`` uint8 tensor in whatever company it finds; ``age_sex`` ``(2,)`` float32 is its own.

        The tensor is copied before this returns. The answer is an ``InferenceError``, retryable, if the runtime failed
        on its batch.
        """
        if not self._batches or self._batches[-1].is_full:
            self._batches.append(_Batch(self._memory(tensor), began=time.monotonic()))
        answer: asyncio.Future[ScoredFilm] = asyncio.get_running_loop().create_future()
        self._batches[-1].add(tensor, _Waiting(age_sex, answer))
        self._changed.set()
        return answer

    def _memory(self, tensor: Tensor) -> Tensor:
        """Return room for a batch; there is as much as was ever needed at once, and it is used again and again."""
        if self._spare:
            return self._spare.pop()
        films = self._policy.max_films
        return self._new_memory(films) if self._new_memory else np.empty((films, *tensor.shape), tensor.dtype)

    async def run(self) -> None:
        """Score batches until cancelled; what breaks one ends all, in an ``ExceptionGroup``."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._policy.at_once):
                    group.create_task(self._score_batches())
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _score_batches(self) -> None:
        while True:
            await self._score_batch(await self._next_batch())

    async def _next_batch(self) -> _Batch:
        await self._until(lambda: bool(self._batches))
        latest = self._batches[0].began + self._policy.patience_seconds - time.monotonic()
        if latest > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(latest):
                    await self._until(lambda: self._batches[0].is_full or not self._on_their_way)
        return self._batches.popleft()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()

    async def _score_batch(self, batch: _Batch) -> None:
        films, tensors = batch.wanted()
        if films:
            metrics.BATCH_SIZE.observe(len(films))
            await self._score_films(films, tensors)
        self._spare.append(batch.memory)

    async def _score_films(self, films: list[_Waiting], tensors: Tensor) -> None:
        started = time.perf_counter()
        try:
            scores = await asyncio.get_running_loop().run_in_executor(self._threads, self._infer, tensors, _rows(films))
        except InferenceError as error:
            for film in films:
                if not film.answer.done():
                    film.answer.set_exception(error)
            return
        inference_ms = (time.perf_counter() - started) * 1000
        for film, score in zip(films, scores, strict=True):
            if not film.answer.done():
                film.answer.set_result(ScoredFilm(score=score, inference_ms=inference_ms))

    def _infer(self, tensors: Tensor, age_sex: AgeSex | None) -> list[Score]:
        with self._watchdog.deadline(_INFERENCE):
            return self._scorer.score(tensors, age_sex)


def _rows(films: list[_Waiting]) -> AgeSex | None:
    """Return age and sex, row by row of the same patients, where any of the films comes with them."""
    if all(film.age_sex is None for film in films):
        return None
    (unknown,) = unknown_age_sex(1)
    return np.stack([unknown if film.age_sex is None else film.age_sex for film in films])
