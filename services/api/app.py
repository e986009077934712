"""Builds the gateway in one place: clients, queue, spool, routes, middleware. Nothing connects before the lifespan."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from importlib.metadata import version
from typing import Final

from fastapi import Depends, FastAPI
from redis.asyncio import Redis

from services.api import problems
from services.api.access.guard import Guard
from services.api.access.key_ring import key_ring
from services.api.access.sessions import Sessions
from services.api.access.throttles import FailureThrottle, KeyQuotas
from services.api.background import running
from services.api.backpressure import Backpressure
from services.api.changes import Changes
from services.api.completions import Completions
from services.api.description import describe, routes_of
from services.api.drawings import Drawings
from services.api.event_streams import EventStreams
from services.api.gateway import Gateway
from services.api.lingering import LingeringClose
from services.api.metrics import GatewayMetrics
from services.api.observation import Observation
from services.api.page import read_page
from services.api.readiness import Readiness
from services.api.routes import (
    decisions,
    dicomweb,
    document,
    events,
    health,
    instances,
    models,
    page,
    pictures,
    results,
    session,
    studies,
)
from services.api.shared_answers import SharedLook, SharedPages
from services.api.upkeep import GatewayUpkeep
from services.api.uploads import Uploads
from services.jobs.activation import BundleActivation
from services.jobs.connection import connect_gateway
from services.jobs.ledger.heads import running_trail
from services.jobs.ledger.restore import LedgerReader
from services.jobs.ledger.trail import AuditTrail
from services.jobs.queue import JobQueue
from services.jobs.reconcile import deadlines_of, limits_of, reconcile
from services.jobs.settings import ApiSettings, AuditSettings, QueueSettings, RedisSettings, SpoolSettings
from services.jobs.spool import Spool
from services.jobs.worklist import Worklist

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
    *(models.router, session.router, health.scrape, page.router, document.router),
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
    gateway = _build(client, api, spool, audit, films)
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
    )
    app.state.gateway = gateway
    app.state.routes = routes_of(_ROUTERS)
    problems.install(app, gateway.backpressure)
    for router in _ROUTERS:
        app.include_router(router)
    # FastAPI's own way to extend the document.
    app.openapi = describe(app, app.state.routes, has_keys=gateway.keys is not None)  # type: ignore[method-assign]
    app.add_middleware(LingeringClose)
    app.add_middleware(Observation, metrics=gateway.metrics)
    return app


def _build(
    client: Redis, api: ApiSettings, spool_settings: SpoolSettings, audit: AuditSettings, films: QueueSettings
) -> Gateway:
    keys = key_ring(api.host, api.keys_file)
    limits = limits_of(api)
    queue = JobQueue(client, limits=limits)
    spool = Spool.of(spool_settings)
    deadlines = deadlines_of(films)
    trail = AuditTrail(audit.directory, "api")
    compare = partial(reconcile, queue, spool, deadlines=deadlines, ledger=LedgerReader(client, trail))
    backpressure = Backpressure(backlog=api.routine_depth)
    sessions = Sessions(client, hours=api.session_hours, is_secure=api.secure_cookie)
    failures = FailureThrottle(per_minute=api.failed_sign_ins_per_minute)
    guard = Guard(keys=keys, sessions=sessions, failures=failures, audit=trail)
    worklist = Worklist(client, limits=limits)
    completions = Completions(queue, on_done=backpressure.film_done)
    changes = Changes(client, on_change=completions.hear)
    metrics = GatewayMetrics()
    metrics.publish_limits(limits, spool_bytes=spool_settings.quota_bytes)
    if keys is not None:
        metrics.watch_keys(keys.state)
    return Gateway(
        queue=queue,
        activation=BundleActivation(client),
        worklist=worklist,
        revision=SharedLook(worklist.revision),
        pages=SharedPages(),
        spool=spool,
        uploads=Uploads(spool, api),
        drawings=Drawings(),
        completions=completions,
        changes=changes,
        streams=EventStreams(changes, guard),
        readiness=Readiness(queue, spool, compare=partial(_begin_anew, changes, partial(compare, is_start=True))),
        upkeep=GatewayUpkeep(queue, deadlines=deadlines, compare=compare, every_seconds=api.upkeep_seconds),
        backpressure=backpressure,
        metrics=metrics,
        page=read_page(),
        keys=keys,
        sessions=sessions,
        quotas=_quotas(api),
        guard=guard,
        audit=trail,
    )


async def _begin_anew(changes: Changes, compare: Callable[[], Awaitable[object]]) -> None:
    """Do what another Redis than before asks for, or one that may have forgotten."""
    changes.doubt()
    await compare()


def _quotas(api: ApiSettings) -> KeyQuotas:
    return KeyQuotas(
        uploads_in_flight=api.max_uploads_per_key,
        uploads_per_second=api.upload_rate_per_key,
        burst=api.upload_burst_per_key,
    )


def _lifespan(gateway: Gateway, client: Redis) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        steps = {
            "changes": gateway.changes.run(),
            "reconcile": gateway.readiness.keep_reconciled(),
            "upkeep": gateway.upkeep.run(),
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
