"""Builds the gateway: its parts (``wiring``), routes, middleware. Nothing connects before the lifespan."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Final

from fastapi import Depends, FastAPI
from redis.asyncio import Redis

from services.api import problems
from services.api.background import running
from services.api.description import describe, routes_of
from services.api.gateway import Gateway
from services.api.lingering import LingeringClose
from services.api.observation import Observation
from services.api.routes import (
    assessments,
    decisions,
    dicomweb,
    document,
    events,
    health,
    instances,
    models,
    page,
    performance,
    pictures,
    policies,
    results,
    session,
    studies,
)
from services.api.unchanged import Unchanged
from services.api.wiring import gateway_of
from services.jobs.connection import connect_gateway
from services.jobs.ledger.heads import running_trail
from services.jobs.settings import ApiSettings, AuditSettings, QueueSettings, RedisSettings, SpoolSettings

logger = logging.getLogger(__name__)

_DESCRIPTION: Final = (
    "Send a chest radiograph, get a triage outcome: `flagged`, `not_flagged`, or `not_assessed` with a reason. "
    "There is no healthy verdict. Research use only; not a medical device."
)


# Asked in this order, so the busiest come first.
_ROUTERS: Final = (
    *(
        instances.router,
        dicomweb.router,
        studies.router,
        health.probes,
        pictures.router,
        results.router,
        decisions.router,
        events.router,
    ),
    *(assessments.router, performance.router),
    *(policies.router, models.router, session.router, health.scrape, page.router, document.router),
)


def create_app(
    *, api: ApiSettings, redis: RedisSettings, spool: SpoolSettings, audit: AuditSettings, films: QueueSettings
) -> FastAPI:
    """Return the gateway, wired; ``app.state.gateway`` holds its parts.

    Raises
    ------
    SettingsError
        If it would be open to other machines, or the keys file is unusable.
    SpoolUnavailable
        If the spool's directory cannot be made.
    """
    client = connect_gateway(redis)
    gateway = gateway_of(client, api=api, spool=spool, audit=audit, films=films)
    app = FastAPI(
        title="Chest X-ray triage",
        description=_DESCRIPTION,
        version=version("cxr-triage"),
        lifespan=_lifespan(gateway, client),
        dependencies=[Depends(gateway.guard.admit)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Watched by Prometheus alone: FastAPI would ask at each request whether there is an OpenTelemetry.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.gateway = gateway
    app.state.routes = routes_of(_ROUTERS)
    problems.install(app, gateway.backpressure)
    for router in _ROUTERS:
        app.include_router(router)
    # FastAPI's own way to extend the document.
    app.openapi = describe(app, app.state.routes, has_keys=gateway.keys is not None)  # type: ignore[method-assign]
    app.add_middleware(Unchanged, guard=gateway.guard, route=studies.polled(gateway))
    # Around the short way too: a poll may come with a body that never ends.
    app.add_middleware(LingeringClose)
    app.add_middleware(Observation, metrics=gateway.metrics)
    return app


def _lifespan(gateway: Gateway, client: Redis) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        steps = {
            "changes": gateway.changes.run(),
            "reconcile": gateway.readiness.keep_reconciled(),
            "upkeep": gateway.upkeep.run(),
            **gateway.feedback.steps(),
        }
        if gateway.keys is not None:
            steps["keys"] = gateway.keys.watch()
        try:
            async with running(steps), running_trail(gateway.audit, client):
                yield
        finally:
            gateway.drawings.close()
            await client.aclose()

    return lifespan
