"""Builds the gateway in one place: clients, queue, spool, routes, middleware. Nothing connects before the lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Any, Final

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.security import HTTPBasic, HTTPBearer
from redis.asyncio import Redis

from services.api import problems
from services.api.access import key_ring
from services.api.backpressure import Backpressure
from services.api.completions import Completions
from services.api.drawings import Drawings
from services.api.gateway import Gateway
from services.api.lingering import LingeringClose
from services.api.metrics import GatewayMetrics
from services.api.observation import Observation
from services.api.page import read_page
from services.api.readiness import Readiness
from services.api.routes import health, instances, models, page, pictures, studies
from services.api.schemas import Problem
from services.api.uploads import Uploads
from services.jobs.connection import connect_gateway
from services.jobs.queue import JobQueue, QueueLimits
from services.jobs.settings import ApiSettings, RedisSettings, SpoolSettings
from services.jobs.spool import Spool
from services.jobs.worklist import Worklist

logger = logging.getLogger(__name__)

_DESCRIPTION: Final = (
    "Send a chest radiograph, get a triage outcome: `flagged`, `not_flagged`, or `not_assessed` with a reason. "
    "There is no healthy verdict. Research use only; not a medical device."
)


def create_app(*, api: ApiSettings, redis: RedisSettings, spool: SpoolSettings) -> FastAPI:
    """Return the gateway, wired; ``app.state.gateway`` holds its parts.

    Raises
    ------
    SettingsError
        If it would be open to other machines, or the keys file is unusable.
    SpoolUnavailable
        If the spool's directory cannot be made.
    """
    client = connect_gateway(redis)
    gateway = _build(client, api, spool)
    app = FastAPI(
        title="Chest X-ray triage",
        description=_DESCRIPTION,
        version=version("cxr-triage"),
        lifespan=_lifespan(gateway, client),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.gateway = gateway
    problems.install(app, gateway.backpressure)
    # Declared in OpenAPI only where it is enforced, so that the document is true.
    schemes = [Depends(HTTPBearer(auto_error=False)), Depends(HTTPBasic(auto_error=False))] if gateway.keys else []
    unauthorized = problems.documented(401) if gateway.keys else {}
    # The page itself holds no data, and has to say that a key is needed.
    app.include_router(page.router)
    app.include_router(health.probes)
    for router in (health.scrape, instances.router, pictures.router, studies.router, models.router):
        app.include_router(router, dependencies=schemes, responses=unauthorized)
    app.openapi = _document(app)  # type: ignore[method-assign]  # FastAPI's own way to extend the document
    app.add_middleware(LingeringClose)
    app.add_middleware(Observation, metrics=gateway.metrics)
    return app


def _build(client: Redis, api: ApiSettings, spool_settings: SpoolSettings) -> Gateway:
    keys = key_ring(api.host, api.keys_file)
    limits = QueueLimits(
        routine_depth=api.routine_depth,
        stat_reserve=api.stat_reserve,
        overdue_stat_seconds=api.overdue_stat_seconds,
        overdue_routine_seconds=api.overdue_routine_seconds,
    )
    queue = JobQueue(client, limits=limits)
    spool = Spool(
        spool_settings.directory,
        quota_bytes=spool_settings.quota_bytes,
        minimum_free_ratio=spool_settings.minimum_free_ratio,
    )
    backpressure = Backpressure(backlog=api.routine_depth)
    return Gateway(
        queue=queue,
        worklist=Worklist(client, limits=limits),
        spool=spool,
        uploads=Uploads(spool, api),
        drawings=Drawings(),
        completions=Completions(client, queue, on_done=backpressure.film_done),
        readiness=Readiness(queue, spool),
        backpressure=backpressure,
        metrics=GatewayMetrics(),
        page=read_page(),
        keys=keys,
    )


def _lifespan(gateway: Gateway, client: Redis) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(gateway.completions.run(), name="completions"),
            asyncio.create_task(gateway.readiness.reconcile_at_start(), name="reconcile"),
        ]
        for task in tasks:
            task.add_done_callback(_log_death)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            gateway.drawings.close()
            await client.aclose()

    return lifespan


def _log_death(task: asyncio.Task[None]) -> None:
    """Log the end of a task that nobody awaits: waiting would get slow, or readiness never come."""
    if not task.cancelled() and (error := task.exception()) is not None:
        fields = {"action": "task_failed", "task": task.get_name()}
        logger.critical("background task failed", exc_info=error, extra=fields)


def _document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= problem.pop("$defs", {}) | {"Problem": problem}
            app.openapi_schema = document
        return app.openapi_schema

    return openapi
