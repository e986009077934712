"""Collects ready tensors into batches and runs the network in one thread of its own.

Owns when a batch starts and who is in it. Must not know jobs or Redis. Between ``decoding.pool`` and
``model.decision`` in the walk.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from model.decision import Score
from model.demographics import AgeSex, unknown_age_sex
from model.errors import InferenceError
from model.image import Tensor
from model.runtime import Provider
from services.worker import metrics
from services.worker.heartbeat import Watchdog

_INFERENCE: Final = "inference"  # what the watchdog calls a batch under way
# A GPU gains from company, so its batch waits this long for more; on a CPU batches of 32 are no faster than one film
# and waiting gains nothing (PERFORMANCE.md §A finding 2).
_GPU_PATIENCE_SECONDS: Final = 0.004
_DEFAULT_BATCH: Final = {Provider.CPU: 4, Provider.CUDA: 32}


class BatchScorer(Protocol):
    """What a batcher needs of ``model.runtime.Scorer``."""

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        """Score ``(n, 1, s, s)`` uint8 tensors, ``age_sex`` ``(n, 2)`` theirs, in order; raise ``InferenceError``."""


@dataclass(frozen=True, kw_only=True)
class BatchPolicy:
    """At most ``max_films`` a batch; a batch that is not full waits ``patience_seconds`` for more."""

    max_films: int
    patience_seconds: float

    @classmethod
    def for_provider(cls, provider: Provider, *, max_films: int = 0) -> BatchPolicy:
        """Return the policy that suits the provider; ``max_films`` 0 means its default."""
        patience = _GPU_PATIENCE_SECONDS if provider is Provider.CUDA else 0.0
        return cls(max_films=max_films or _DEFAULT_BATCH[provider], patience_seconds=patience)


@dataclass(frozen=True, kw_only=True)
class ScoredFilm:
    """A film's score, and how long its batch ran."""

    score: Score
    inference_ms: float


@dataclass(frozen=True)
class _Waiting:
    tensor: Tensor
    age_sex: AgeSex | None = field(repr=False)
    answer: asyncio.Future[ScoredFilm]


class Batcher:
    """Scores films one caller at a time, in batches behind the scenes.

    ``run`` must be running for ``score`` to return. The inference thread is one, so that two batches never share the
    cores, and the event loop stays free for heartbeats and probes.
    """

    def __init__(self, scorer: BatchScorer, *, policy: BatchPolicy, watchdog: Watchdog) -> None:
        self._scorer = scorer
        self._policy = policy
        self._watchdog = watchdog
        self._ready: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=_INFERENCE)

    async def score(self, tensor: Tensor, age_sex: AgeSex | None = None) -> ScoredFilm:
        """Score one ``(1, s, s)`` uint8 tensor in whatever company it finds; ``age_sex`` ``(2,)`` float32 is its own.

        Raises
        ------
        InferenceError
            If the runtime failed on its batch; retryable.
        """
        waiting = _Waiting(tensor, age_sex, asyncio.get_running_loop().create_future())
        self._ready.put_nowait(waiting)
        return await waiting.answer

    async def run(self) -> None:
        """Score batches until cancelled."""
        try:
            while True:
                await self._score_batch(await self._collect())
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _collect(self) -> list[_Waiting]:
        batch = [await self._ready.get()]
        if self._policy.patience_seconds and self._ready.qsize() + 1 < self._policy.max_films:
            await asyncio.sleep(self._policy.patience_seconds)
        while len(batch) < self._policy.max_films and not self._ready.empty():
            batch.append(self._ready.get_nowait())
        # A film that nobody waits for any more (at a stop) must not cost its neighbours time.
        return [waiting for waiting in batch if not waiting.answer.done()]

    async def _score_batch(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        metrics.BATCH_SIZE.observe(len(batch))
        started = time.perf_counter()
        try:
            tensors, age_sex = _stacked(batch)
            scores = await asyncio.get_running_loop().run_in_executor(self._thread, self._infer, tensors, age_sex)
        except InferenceError as error:
            for waiting in batch:
                _fail(waiting.answer, error)
            return
        inference_ms = (time.perf_counter() - started) * 1000
        for waiting, score in zip(batch, scores, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(ScoredFilm(score=score, inference_ms=inference_ms))

    def _infer(self, tensors: Tensor, age_sex: AgeSex | None) -> list[Score]:
        with self._watchdog.deadline(_INFERENCE):
            return self._scorer.score(tensors, age_sex)


def _stacked(batch: list[_Waiting]) -> tuple[Tensor, AgeSex | None]:
    """Return films and, where any of them comes with it, age and sex: row by row the same patients."""
    tensors = np.stack([waiting.tensor for waiting in batch])
    if all(waiting.age_sex is None for waiting in batch):
        return tensors, None
    (unknown,) = unknown_age_sex(1)
    return tensors, np.stack([unknown if waiting.age_sex is None else waiting.age_sex for waiting in batch])


def _fail(answer: asyncio.Future[ScoredFilm], error: InferenceError) -> None:
    if not answer.done():
        answer.set_exception(error)
