"""One film's walk through the worker: decode, batch, decide. Reads as DESIGN §4 does.

Owns what a film ends with. Must not know Redis, streams or other films; ``consumer`` calls it and keeps the result.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from model.decision import Decision, Score, decide, not_assessed
from model.errors import ImageError, LateralView, NonFiniteScore, Reason, UnsuitableImage
from services.jobs.records import Job, ModelReference, Picture
from services.jobs.spool import Spool
from services.worker.decoding.messages import DecodingRequest
from services.worker.decoding.pool import DecodingPool, RefusedFilm
from services.worker.pictures import PictureKeeper
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

    A film has one bundle from its decoding to its pictures, also where another one serves by the time it is done.
    """

    def __init__(self, *, spool: Spool, decoding: DecodingPool, bundles: ServedBundles) -> None:
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
        request = await self._request(job, serving)
        try:
            film = await self._decoding.decode(request)
        except RefusedFilm as refused:
            pictures = await self._pictures.keep_preview(job, refused.preview)
            return Assessment(decision=not_assessed(refused.reason), pictures=pictures, decode_ms=refused.decode_ms)
        except ImageError as error:
            return Assessment(decision=not_assessed(error.reason, is_lateral=isinstance(error, LateralView)))
        # The preview is written while the network runs.
        scored, pictures = await asyncio.gather(
            bundle.batcher.score(film.tensor, film.age_sex), self._pictures.keep_preview(job, film.preview)
        )
        decision = _decide(job, scored.score, serving)
        # Without the film below it a heat map says nothing.
        if decision.outcome.is_scored and pictures:
            pictures |= await self._pictures.keep_activation(
                job, scored.score.activation, temperature=serving.temperature, model=serving.model
            )
        return Assessment(
            decision=decision,
            pictures=pictures,
            model=serving.model,
            decode_ms=film.decode_ms,
            inference_ms=scored.inference_ms,
        )

    async def _request(self, job: Job, serving: Serving) -> DecodingRequest:
        return DecodingRequest(
            path=await asyncio.to_thread(self._spool.read, job),
            payload_bytes=job.payload_bytes,
            sha256=job.sha256,
            claims=job.claims,
            gate=serving.gate,
            preprocessing=serving.preprocessing,
            wants_age_sex=serving.takes_age_sex,
        )


def _decide(job: Job, score: Score, serving: Serving) -> Decision:
    """Return what the score amounts to, unless the network saw a film unlike those that it knows."""
    try:
        if serving.embedding_gate is not None:
            assert score.embedding is not None, "the scorer checked that the graph answers with an embedding"
            serving.embedding_gate.require_near(score.embedding)
        return decide(score, serving.policy(job.site))
    except UnsuitableImage as refused:
        return not_assessed(refused.reason)
    except NonFiniteScore:
        return not_assessed(Reason.NON_FINITE)
