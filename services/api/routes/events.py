"""Changes as they happen, for dashboards that would rather not ask again and again. Polling is the truth."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api.event_streams import Listener
from services.api.gateway import CallerDependency, GatewayDependency
from services.api.parameters import SiteFilter
from services.api.problems import documented
from services.api.scopes import Role, needs

router = APIRouter(prefix="/v1/events", tags=["events"])

_LONGEST_SECONDS: Final = 86_400
# `no-transform`, and nginx' own header: nobody on the way may keep events until they are worth a packet.
_HEADERS: Final = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
# Of one event, as OpenAPI 3.2 has it for streams (§4.14.4).
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["film", "study", "reset"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string"},
        "retry": {"type": "integer"},
    },
}
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events: `film` for each change of a film, `study` where a reader has assessed one, "
        "`reset` where some were missed.",
        "content": {EventSourceResponse.media_type: {"schema": _EVENT}},
    }
}


class EventsQuery(BaseModel):
    """Parameters of a stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    site: SiteFilter | None = Field(
        default=None, description="Only films of this site. Default: every site of the key."
    )
    seconds: int | None = Field(
        default=None,
        ge=0,
        le=_LONGEST_SECONDS,
        description="End after so long; with 0, after what is known already. Default: with the key or session.",
    )


@router.get("", summary="Changes as they happen", response_class=Response, responses=_STREAM | documented(422, 503))
@needs(Role.READ)
async def events(
    request: Request,
    query: Annotated[EventsQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
    last_event_id: Annotated[str | None, Header(max_length=64, description="The last event that is known.")] = None,
) -> Response:
    """Stream what happens to films from now on, or from `Last-Event-ID` on.

    An event says which film and study changed, and to what; the record says the rest. After `reset` ask for the
    worklist anew: nobody knows what was missed. Events may be lost, so go on polling, but seldom.
    """
    listener = Listener(
        request=request,
        caller=caller,
        sites=caller.sites_for(query.site),
        last_entry=last_event_id or None,
        seconds=query.seconds,
    )
    return EventSourceResponse(gateway.streams.stream(listener), headers=_HEADERS)
