"""One film's walk through the worker: decode, batch, decide. Reads as DESIGN §4 does.

Owns what a film ends with. Must not know Redis, streams or other films; ``consumer`` calls it and keeps the result.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from model.bundle import Bundle
from model.decision import Decision, Policy, Score, decide, not_assessed
from model.errors import ImageError, LateralView, NonFiniteScore, Reason, UnsuitableImage
from model.gate import EmbeddingGate, GateSpec
from model.manifest import OperatingPoint
from model.preprocessing import PreprocessingSpec
from services.jobs.records import Job, ModelReference, Picture
from services.jobs.spool import Spool
from services.worker.batching import Batcher
from services.worker.decoding_messages import DecodingRequest
from services.worker.decoding_pool import DecodingPool, RefusedFilm
from services.worker.pictures import PictureKeeper

# The bundle's own operating point, until sites have policies of their own.
_BUNDLE_POLICY_VERSION = 0


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What this worker serves, and by which point it decides.

    ``gate`` looks at headers and pixels, ``embedding_gate`` at what the network made of them; ``None`` where the bundle
    has no statistics for it. ``takes_age_sex``: the network asks for them; a film whose patient's are unknown is scored
    all the same.
    """

    model: ModelReference
    operating_point: OperatingPoint
    preprocessing: PreprocessingSpec
    gate: GateSpec
    temperature: float
    embedding_gate: EmbeddingGate | None
    takes_age_sex: bool

    @classmethod
    def of(cls, bundle: Bundle, *, operating_point: str | None, gate: GateSpec) -> Serving:
        """Serve a bundle; raise ``BundleIncompatible`` where it has no point of that name."""
        manifest = bundle.manifest
        return cls(
            model=ModelReference(name=manifest.name, version=manifest.version, digest=bundle.digest),
            operating_point=manifest.operating_point(operating_point),
            preprocessing=manifest.preprocessing,
            gate=gate,
            temperature=manifest.temperature,
            embedding_gate=_embedding_gate(bundle),
            takes_age_sex=manifest.age_sex_input_name is not None,
        )

    def policy(self, site: str) -> Policy:
        """Return the policy that decides this site's films."""
        return Policy(
            site=site,
            version=_BUNDLE_POLICY_VERSION,
            name=self.operating_point.name,
            threshold=self.operating_point.threshold,
            model_digest=self.model.digest,
        )


def _embedding_gate(bundle: Bundle) -> EmbeddingGate | None:
    statistics, arrays = bundle.manifest.gate, bundle.gate
    if statistics is None or arrays is None:
        return None
    return EmbeddingGate(mean=arrays.mean, covariance=arrays.covariance, limit=statistics.limit)


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
    """Assesses films one caller at a time; many callers at once make it a pipeline."""

    def __init__(self, *, spool: Spool, decoding: DecodingPool, batcher: Batcher, serving: Serving) -> None:
        self._spool = spool
        self._decoding = decoding
        self._batcher = batcher
        self._serving = serving
        self._pictures = PictureKeeper(spool)

    async def assess(self, job: Job) -> Assessment:
        """Return the film's end, whatever is wrong with the film.

        Raises
        ------
        SpoolUnavailable, InferenceError
            If this worker could not look at it; ``retryable``.
        """
        request = await self._request(job)
        try:
            film = await self._decoding.decode(request)
        except RefusedFilm as refused:
            pictures = await self._pictures.keep_preview(job, refused.preview)
            return Assessment(decision=not_assessed(refused.reason), pictures=pictures, decode_ms=refused.decode_ms)
        except ImageError as error:
            return Assessment(decision=not_assessed(error.reason, is_lateral=isinstance(error, LateralView)))
        # The preview is written while the network runs.
        scored, pictures = await asyncio.gather(
            self._batcher.score(film.tensor, film.age_sex), self._pictures.keep_preview(job, film.preview)
        )
        decision = self._decide(job, scored.score)
        # Without the film below it a heat map says nothing.
        if decision.outcome.is_scored and pictures:
            pictures |= await self._pictures.keep_activation(
                job, scored.score.activation, temperature=self._serving.temperature, model=self._serving.model
            )
        return Assessment(
            decision=decision,
            pictures=pictures,
            model=self._serving.model,
            decode_ms=film.decode_ms,
            inference_ms=scored.inference_ms,
        )

    def _decide(self, job: Job, score: Score) -> Decision:
        """Return what the score amounts to, unless the network saw a film unlike those that it knows."""
        embedding_gate = self._serving.embedding_gate
        try:
            if embedding_gate is not None:
                assert score.embedding is not None, "the scorer checked that the graph answers with an embedding"
                embedding_gate.require_near(score.embedding)
            return decide(score, self._serving.policy(job.site))
        except UnsuitableImage as refused:
            return not_assessed(refused.reason)
        except NonFiniteScore:
            return not_assessed(Reason.NON_FINITE)

    async def _request(self, job: Job) -> DecodingRequest:
        return DecodingRequest(
            path=await asyncio.to_thread(self._spool.read, job),
            payload_bytes=job.payload_bytes,
            sha256=job.sha256,
            claims=job.claims,
            gate=self._serving.gate,
            preprocessing=self._serving.preprocessing,
            wants_age_sex=self._serving.takes_age_sex,
        )
