"""Probes and metrics. Liveness never depends on Redis; readiness does, but not on workers (DESIGN §4)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fastapi import APIRouter
from starlette.responses import Response

from services.api.errors import ApiError
from services.api.gateway import Gateway, GatewayDependency
from services.api.metrics import CONTENT_TYPE, Surroundings
from services.api.problems import documented
from services.api.schemas import Live, Ready
from services.api.scopes import Role, needs, open_to_all
from services.jobs.errors import JobsError, SpoolUnavailable
from services.jobs.quota import free_ratio

probes = APIRouter(prefix="/health", tags=["operation"])
scrape = APIRouter(tags=["operation"])


@probes.get("/live", summary="Does the process answer?")
@open_to_all
async def live() -> Live:
    """Answer, whatever the state of Redis and spool."""
    return Live()


@probes.get("/ready", summary="Can a film be accepted durably now?", responses=documented(503, 507))
@open_to_all
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
@needs(Role.METRICS)
async def metrics(gateway: GatewayDependency) -> Response:
    """Return this process's counters, and the state of queue, spool and audit trail as they are now."""
    gateway.metrics.uploads_in_flight.set(gateway.uploads.in_flight)
    gateway.metrics.event_streams.set(gateway.streams.open)
    return Response(gateway.metrics.exposition(await _look_around(gateway)), media_type=CONTENT_TYPE)


async def _look_around(gateway: Gateway) -> Surroundings:
    statistics, live_workers, not_ready = None, None, None
    spool_free, audit_free = None, None
    waiting: dict[str, int] = {}
    try:
        statistics = await gateway.queue.statistics()
        live_workers = len(await gateway.queue.workers())
        waiting = await gateway.feedback.settled.waiting()
        await gateway.readiness.check()
    except (ApiError, JobsError) as error:
        not_ready = error.code
    with suppress(SpoolUnavailable):  # then the spool is not ready either, and says so
        spool_free = await asyncio.to_thread(gateway.spool.free_ratio)
    with suppress(OSError):  # then no entry can be written either, and cxr_audit_writable says so
        audit_free = await asyncio.to_thread(free_ratio, gateway.audit.directory)
    gateway.metrics.show_waiting(waiting)
    return Surroundings(
        statistics=statistics,
        live_workers=live_workers,
        not_ready=not_ready,
        spool=gateway.spool.usage,
        spool_free_ratio=spool_free,
        is_audit_writable=gateway.audit.is_writable,
        audit_waiting=gateway.audit.waiting,
        audit_free_ratio=audit_free,
    )
