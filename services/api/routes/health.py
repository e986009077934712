"""Probes and metrics. Liveness never depends on Redis; readiness does, but not on workers (DESIGN §4)."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import Response

from services.api.gateway import GatewayDependency, require_key
from services.api.metrics import CONTENT_TYPE
from services.api.problems import documented
from services.api.schemas import Live, Ready
from services.jobs.errors import QueueUnavailable

probes = APIRouter(prefix="/health", tags=["operation"])
scrape = APIRouter(tags=["operation"], dependencies=[Depends(require_key)])


@probes.get("/live", summary="Does the process answer?")
async def live() -> Live:
    """Answer, whatever the state of Redis and spool."""
    return Live()


@probes.get("/ready", summary="Can a film be accepted durably now?", responses=documented(503, 507))
async def ready(gateway: GatewayDependency) -> Ready:
    """Check that Redis is writable and safe, the spool is writable, and both have been compared since start."""
    await gateway.readiness.check()
    return Ready()


@scrape.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text"}},
)
async def metrics(gateway: GatewayDependency) -> Response:
    """Return this process's counters, and the state of the queue as Redis has it now."""
    try:
        statistics = await gateway.queue.statistics()
    except QueueUnavailable:
        statistics = None
    gateway.metrics.uploads_in_flight.set(gateway.uploads.in_flight)
    text = gateway.metrics.exposition(statistics)
    return Response(text, media_type=CONTENT_TYPE)
