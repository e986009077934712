"""What the routes work with, built once by ``app`` and handed to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.api.access import KeyRing
from services.api.backpressure import Backpressure
from services.api.completions import Completions
from services.api.drawings import Drawings
from services.api.metrics import GatewayMetrics
from services.api.page import Page
from services.api.readiness import Readiness
from services.api.uploads import Uploads
from services.jobs.queue import JobQueue
from services.jobs.spool import Spool
from services.jobs.worklist import Worklist


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The parts of one gateway process. ``keys`` is ``None`` where it is open, on loopback."""

    queue: JobQueue
    worklist: Worklist
    spool: Spool
    uploads: Uploads
    drawings: Drawings
    completions: Completions
    readiness: Readiness
    backpressure: Backpressure
    metrics: GatewayMetrics
    page: Page
    keys: KeyRing | None


async def _gateway(request: Request) -> Gateway:
    gateway = request.app.state.gateway
    assert isinstance(gateway, Gateway)
    return gateway


GatewayDependency = Annotated[Gateway, Depends(_gateway)]


async def require_key(request: Request, gateway: GatewayDependency) -> None:
    """Let nobody past without a key, where keys are configured."""
    if gateway.keys is not None:
        request.state.key_id = gateway.keys.authenticate(request.headers.get("authorization"))
