"""A film's decisions: the earlier ones, and the order to make another."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.api.gateway import CallerDependency, GatewayDependency
from services.api.parameters import InstanceId, NoQuery
from services.api.problems import documented
from services.api.routes.instances import record_response
from services.api.schemas import PastDecisions
from services.api.scopes import Role, needs
from services.jobs.ledger.entries import AuditEvent
from services.jobs.records import Record

router = APIRouter(prefix="/v1/instances", tags=["instances"])

_ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "model": Record,
        "description": "The film is queued again, without outcome until it is decided anew.",
        "headers": {"Location": {"description": "Where the record is.", "schema": {"type": "string"}}},
    }
}


@router.post(
    "/{instance_id}/rescore",
    summary="Have a film scored again",
    status_code=202,
    response_class=Response,
    responses=_ACCEPTED | documented(404, 409, 422, 429, 503),
)
@needs(Role.ADMIN)
async def rescore(
    request: Request,
    instance_id: InstanceId,
    _query: Annotated[NoQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> Response:
    """Queue a finished film again. Its decision stays in its history, and in its study's roll-up until the next one."""
    film = await gateway.film(instance_id, caller)
    record = await gateway.queue.rescore(instance_id)
    gateway.note(AuditEvent.RESCORED, film, request)
    return record_response(record, status=202)


@router.get("/{instance_id}/decisions", summary="A film's earlier decisions", responses=documented(404, 422, 503))
@needs(Role.READ)
async def decisions(
    request: Request,
    instance_id: InstanceId,
    _query: Annotated[NoQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> PastDecisions:
    """Return the decisions that were replaced when the film was scored again, oldest first; usually there are none."""
    film = await gateway.film(instance_id, caller)
    past = await gateway.queue.history(instance_id)
    gateway.note(AuditEvent.ACCESSED, film, request)
    return PastDecisions(id=film.id, decisions=past)
