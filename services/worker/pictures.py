"""Keeps a film's pictures beside its payload. A picture that cannot be kept costs the film nothing but the picture.

Must not know how films are decoded or decided. Beside the walk, between scoring and finish: the film's decision waits
here, so the wait is bounded, whatever the disk does.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model.heatmap import Activation, is_drawable
from model.preview import Preview
from services.jobs.errors import SpoolFull, SpoolUnavailable
from services.jobs.pictures import film_and_model, pack_picture
from services.jobs.records import Job, ModelReference, Picture
from services.worker import metrics

logger = logging.getLogger(__name__)

# Writing a preview takes a millisecond; a disk that takes this long is not worth a decision's time.
PATIENCE_SECONDS: Final = 2.0
# Threads of their own: a disk that hangs under pictures must leave the others to the payloads, without which nothing
# is read. A spool that hangs takes these two, and no picture waits for a third.
THREADS: Final = 2
_NOT_FINITE: Final = "not_finite"
_TIMEOUT: Final = "timeout"


class PictureStore(Protocol):
    """What keeps pictures: ``Spool``."""

    def keep_picture(self, job: Job, picture: Picture, content: bytes, *, by: str | None = None) -> None:
        """Keep a picture; raise SpoolFull or SpoolUnavailable, and then nothing of it is left."""


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What a heat map is drawn from: the activation of a network, and what turns it into the model's log-odds."""

    activation: Activation = field(repr=False)
    temperature: float
    model: ModelReference


@dataclass(frozen=True)
class _Draft:
    """A picture that is to be kept; ``model`` made it, where one did."""

    picture: Picture
    array: NDArray[Any] = field(repr=False)
    model: ModelReference | None = None


def _heat_map(job: Job, explained: Explained) -> list[_Draft]:
    calibrated = explained.activation / np.float32(explained.temperature)
    if is_drawable(calibrated):
        return [_Draft(Picture.HEATMAP, calibrated, explained.model)]
    _report_loss(job, Picture.HEATMAP, _NOT_FINITE)
    return []


class PictureKeeper:
    """Writes previews and activation maps; answers with those that were kept, soon, and never raises."""

    def __init__(self, store: PictureStore, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._store = store
        self._patience_seconds = patience_seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")
        self._free_threads = asyncio.Semaphore(THREADS)

    async def keep(self, job: Job, preview: Preview | None, explained: Explained | None = None) -> frozenset[Picture]:
        """Keep a film's preview, and what its heat map is drawn from: without the film below it a map says nothing.

        The map is kept in log-odds of the calibrated probability; none that has a NaN.
        """
        if preview is None:
            return frozenset()
        drafts = [_Draft(Picture.PREVIEW, preview)]
        if explained is not None:
            drafts += _heat_map(job, explained)
        kept: list[Picture] = []
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._write_in_a_thread(job, drafts, kept)
        except TimeoutError:
            for draft in drafts[len(kept) :][:1]:
                _report_loss(job, draft.picture, _TIMEOUT)
        return frozenset(kept)

    async def _write_in_a_thread(self, job: Job, drafts: list[_Draft], kept: list[Picture]) -> None:
        # A thread that hangs cannot be ended. It counts as taken until it is back, so that nothing piles up behind it;
        # what it writes then lies beside the payload, named by no record, and goes with it.
        await self._free_threads.acquire()
        writing = asyncio.get_running_loop().run_in_executor(self._threads, self._write, job, drafts, kept)
        writing.add_done_callback(lambda _: self._free_threads.release())
        await asyncio.shield(writing)

    def _write(self, job: Job, drafts: list[_Draft], kept: list[Picture]) -> None:
        for draft in drafts:
            digest = None if draft.model is None else draft.model.digest
            of = job.sha256 if digest is None else film_and_model(film=job.sha256, model=digest)
            try:
                self._store.keep_picture(job, draft.picture, pack_picture(draft.array, of=of), by=digest)
            except (SpoolFull, SpoolUnavailable) as error:
                _report_loss(job, draft.picture, error.code)
                return
            kept.append(draft.picture)


def _report_loss(job: Job, picture: Picture, code: str) -> None:
    metrics.PICTURES_LOST.labels(picture, code).inc()
    fields = {"action": "picture_not_kept", "job_id": job.id, "picture": str(picture), "code": code}
    logger.warning("picture not kept", extra=fields)
