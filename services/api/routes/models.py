"""Which models are loaded, and the table behind their thresholds. Told by the workers, once a heartbeat."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from services.api.errors import ModelNotLoaded
from services.api.gateway import GatewayDependency, require_key
from services.api.problems import documented
from services.api.schemas import LoadedModel, LoadedModels, OperatingPointEvidence, OperatingPoints
from services.jobs.status import WorkerStatus

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[Depends(require_key)])

Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="sha256 of the bundle's manifest.")]


@router.get("", summary="Models that live workers serve", responses=documented(503))
async def list_models(gateway: GatewayDependency) -> LoadedModels:
    """Return one entry for each model and operating point in use; empty where no worker lives."""
    serving: defaultdict[tuple[str, str], list[WorkerStatus]] = defaultdict(list)
    for worker in await gateway.queue.workers():
        serving[worker.model.digest, worker.operating_point].append(worker)
    return LoadedModels(models=tuple(_loaded(workers) for _, workers in sorted(serving.items())))


@router.get(
    "/{digest}/operating-points", summary="The table behind the thresholds", responses=documented(404, 422, 503)
)
async def operating_points(digest: Digest, gateway: GatewayDependency) -> OperatingPoints:
    """Return every operating point of a loaded model with its evidence."""
    for worker in await gateway.queue.workers():
        if worker.model.digest == digest:
            points = tuple(OperatingPointEvidence.model_validate(point) for point in worker.operating_points)
            return OperatingPoints(model=worker.model, operating_points=points)
    raise ModelNotLoaded("No live worker serves a model of this digest; /v1/models lists those that are served.")


def _loaded(workers: list[WorkerStatus]) -> LoadedModel:
    first = workers[0]
    return LoadedModel(
        name=first.model.name,
        version=first.model.version,
        digest=first.model.digest,
        labels=first.labels,
        precision=first.precision,
        has_heatmap=first.has_heatmap,
        has_embedding_gate=first.has_embedding_gate,
        probability_rule=first.probability_rule,
        inputs=first.inputs,
        operating_point=first.operating_point,
        threshold=first.threshold,
        workers=len(workers),
        providers=tuple(sorted({worker.provider for worker in workers})),
    )
