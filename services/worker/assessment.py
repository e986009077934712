"""One film's walk through the worker: decode, batch, decide. Reads as DESIGN §4 does.

Owns what a film ends with. Must not know Redis, streams or other films; ``consumer`` calls it and keeps the result.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from model.decision import Decision, Policy, Score, decide, not_assessed
from model.errors import ImageError, LateralView, NonFiniteScore, Reason, UnsuitableImage
from model.preview import Preview
from services.jobs.disk import translate_disk_errors
from services.jobs.policies import SitePolicy
from services.jobs.records import Job, ModelReference, Picture
from services.jobs.spool import Spool
from services.worker.batching import ScoredFilm
from services.worker.decoding.messages import DecodeResolution, FilmOrder
from services.worker.decoding.pool import DecodingPool, RefusedFilm
from services.worker.pictures import Explained, PictureKeeper
from services.worker.serving import Serving
from services.worker.switching import ServedBundle, ServedBundles


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """A film's decision, the model that looked at it if one did, and milliseconds per stage it came through.

    ``pictures`` are those that were kept beside the payload.
    """

    decision: Decision
    pictures: frozenset[Picture] = frozenset()
    model: ModelReference | None = None
    decode_ms: float | None = None
    inference_ms: float | None = None


class Assessor:
    """Assesses films one caller at a time; many callers at once make it a pipeline.

    A film has one bundle from its decoding to its pictures, also where another one serves by the time it is done. It is
    decided by what its site has ``chosen`` for that model when its score is there.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        decoding: DecodingPool,
        bundles: ServedBundles,
        chosen: Callable[[str, str], SitePolicy | None],
        resolution: DecodeResolution = "exact",
    ) -> None:
        self._chosen = chosen
        self._resolution = resolution
        self._spool = spool
        self._decoding = decoding
        self._bundles = bundles
        self._pictures = PictureKeeper(spool)

    async def assess(self, job: Job) -> Assessment:
        """Return the film's end, whatever is wrong with the film.

        Raises
        ------
        SpoolUnavailable, InferenceError
            If this worker could not look at it; ``retryable``.
        """
        with self._bundles.lease() as bundle:
            return await self._assess_with(bundle, job)

    async def _assess_with(self, bundle: ServedBundle, job: Job) -> Assessment:
        serving = bundle.serving
        try:
            film = await self._decode(bundle, job)
        except RefusedFilm as refused:
            pictures = await self._pictures.keep(job, refused.preview)
            return Assessment(decision=not_assessed(refused.reason), pictures=pictures, decode_ms=refused.decode_ms)
        except ImageError as error:
            return Assessment(decision=not_assessed(error.reason, is_lateral=isinstance(error, LateralView)))
        scored = await film.scoring
        policy = serving.policy(job.site, self._chosen(job.site, serving.model.digest))
        decision = _decide(scored.score, serving, policy)
        explained = _explained(decision, scored.score, serving)
        pictures = await self._pictures.keep(job, film.preview, explained)
        return Assessment(
            decision=decision,
            pictures=pictures,
            model=serving.model,
            decode_ms=film.decode_ms,
            inference_ms=scored.inference_ms,
        )

    async def _decode(self, bundle: ServedBundle, job: Job) -> _FilmInBatch:
        """Decode a film right into its place in a batch: from the child's memory, which is the next film's after it."""
        order = _order(job, bundle.serving, self._resolution)
        with bundle.batcher.expecting():
            async with self._opened(job) as payload, self._decoding.decode(order, payload) as film:
                scoring = bundle.batcher.score(film.tensor, film.age_sex)
                return _FilmInBatch(scoring=scoring, preview=film.preview, decode_ms=film.decode_ms)

    @asynccontextmanager
    async def _opened(self, job: Job) -> AsyncIterator[int]:
        """Open a payload for reading; children get the descriptor, and no path is in their reach."""
        payload = await asyncio.to_thread(self._open, job)
        try:
            yield payload
        finally:
            os.close(payload)

    def _open(self, job: Job) -> int:
        path = self._spool.read(job)
        with translate_disk_errors():
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


@dataclass(frozen=True, kw_only=True)
class _FilmInBatch:
    """A film whose tensor is in a batch, and what is known of it meanwhile."""

    scoring: asyncio.Future[ScoredFilm]
    preview: Preview | None
    decode_ms: float


def _order(job: Job, serving: Serving, resolution: DecodeResolution) -> FilmOrder:
    return FilmOrder(
        payload_bytes=job.payload_bytes,
        sha256=job.sha256,
        claims=job.claims,
        gate=serving.gate,
        preprocessing=serving.preprocessing,
        wants_age_sex=serving.takes_age_sex,
        resolution=resolution,
    )


def _decide(score: Score, serving: Serving, policy: Policy) -> Decision:
    """Return what the score amounts to, unless the network saw a film unlike those that it knows."""
    try:
        if serving.embedding_gate is not None:
            assert score.embedding is not None, "the scorer checked that the graph answers with an embedding"
            serving.embedding_gate.require_near(score.embedding)
        return decide(score, policy)
    except UnsuitableImage as refused:
        return not_assessed(refused.reason)
    except NonFiniteScore:
        return not_assessed(Reason.NON_FINITE)


def _explained(decision: Decision, score: Score, serving: Serving) -> Explained | None:
    """Return what a heat map shows, where there is a score to explain."""
    if not decision.outcome.is_scored or score.activation is None:
        return None
    return Explained(activation=score.activation, temperature=serving.temperature, model=serving.model)
