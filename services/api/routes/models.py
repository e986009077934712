"""Which models are loaded, which one is active, and the table behind their thresholds.

Told by the workers, once a heartbeat, and by operators who activate bundles.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from services.api.conditional import NOT_MODIFIED, is_known
from services.api.errors import ModelNotLoaded
from services.api.gateway import Gateway, GatewayDependency
from services.api.problems import documented
from services.api.schemas import (
    ActiveBundle,
    LoadedModel,
    LoadedModels,
    OperatingPointEvidence,
    OperatingPoints,
    ServingWorker,
    ThresholdTable,
)
from services.api.scopes import Role, needs
from services.jobs.activation import Activation
from services.jobs.records import moment
from services.jobs.status import WorkerStatus

router = APIRouter(prefix="/v1/models", tags=["models"])

Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="sha256 of the bundle's manifest.")]


@router.get(
    "", summary="Models that live workers serve", response_model=LoadedModels, responses=NOT_MODIFIED | documented(503)
)
@needs(Role.READ)
async def list_models(request: Request, gateway: GatewayDependency) -> Response:
    """Return one entry for each model and threshold in use, none where no worker lives; and what is active."""
    body = (await _loaded_models(gateway)).model_dump_json().encode()
    # Of the content: a page that asks every few seconds is told anew only where a worker or a bundle came or went.
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    if is_known(tag, request):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag}, media_type="application/json")


async def _loaded_models(gateway: Gateway) -> LoadedModels:
    serving: defaultdict[tuple[str, str, float], list[WorkerStatus]] = defaultdict(list)
    workers = await gateway.queue.workers()
    for worker in workers:
        serving[worker.model.digest, worker.operating_point, worker.threshold].append(worker)
    return LoadedModels(
        models=tuple(_loaded(group) for _, group in sorted(serving.items())),
        activation=_active(await gateway.activation.read()),
        workers=tuple(_line(worker) for worker in workers),
    )


@router.get(
    "/{digest}/operating-points", summary="The table behind the thresholds", responses=documented(404, 422, 503)
)
@needs(Role.READ)
async def operating_points(digest: Digest, gateway: GatewayDependency) -> OperatingPoints:
    """Return a model's named points and the table of all thresholds; of a loaded model, or one with a known table."""
    table = await gateway.policies.tables.get(digest)
    told = table and ThresholdTable.model_validate(table.model_dump(include=set(ThresholdTable.model_fields)))
    for worker in await gateway.queue.workers():
        if worker.model.digest == digest:
            return OperatingPoints(model=worker.model, operating_points=_evidence(worker.operating_points), table=told)
    if table is not None:
        points = _evidence(point.model_dump() for point in table.operating_points)
        return OperatingPoints(model=table.model, operating_points=points, table=told)
    raise ModelNotLoaded("No live worker serves a model of this digest; /v1/models lists those that are served.")


def _evidence(points: Iterable[Mapping[str, object]]) -> tuple[OperatingPointEvidence, ...]:
    return tuple(OperatingPointEvidence.model_validate(point) for point in points)


def _loaded(workers: list[WorkerStatus]) -> LoadedModel:
    first = workers[0]
    return LoadedModel(
        name=first.model.name,
        version=first.model.version,
        digest=first.model.digest,
        labels=first.labels,
        precision=first.precision,
        inference_precisions=tuple(sorted({_computed_in(worker) for worker in workers})),
        has_heatmap=first.has_heatmap,
        has_embedding_gate=first.has_embedding_gate,
        probability_rule=first.probability_rule,
        inputs=first.inputs,
        operating_point=first.operating_point,
        threshold=first.threshold,
        workers=len(workers),
        providers=tuple(sorted({worker.provider for worker in workers})),
        sandboxes=tuple(sorted({worker.sandbox for worker in workers})),
    )


def _active(state: Activation) -> ActiveBundle:
    candidate, refusal = state.candidate, state.refusal
    return ActiveBundle(
        active=state.active,
        active_since=moment(state.active_ms) if state.active_ms is not None else None,
        previous=state.previous,
        candidate=candidate.digest if candidate else None,
        candidate_since=moment(candidate.since_ms) if candidate else None,
        refused=refusal.digest if refusal else None,
        refused_code=refusal.code if refusal else None,
        refused_at=moment(refusal.at_ms) if refusal else None,
    )


def _computed_in(worker: WorkerStatus) -> str:
    return worker.inference_precision or worker.precision


def _line(worker: WorkerStatus) -> ServingWorker:
    told = worker.preparation
    return ServingWorker(
        worker=worker.consumer,
        digest=worker.model.digest,
        provider=worker.provider,
        precision=_computed_in(worker),
        threads=worker.threads,
        candidate=told.digest if told else None,
        candidate_state=told.state if told else None,
        candidate_code=told.code if told else None,
    )
