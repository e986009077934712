"""Pictures of a film: as a reader sees it, and with what raised its score. Drawn on request from what a worker kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api.errors import FilmNotAssessed, FilmNotDone, PictureAbsent
from services.api.gateway import CallerDependency, Gateway, GatewayDependency
from services.api.parameters import InstanceId
from services.api.problems import documented
from services.api.scopes import Caller, Role, needs
from services.jobs.drawing import draw_heat, draw_overlay, draw_preview
from services.jobs.errors import PictureGone
from services.jobs.ledger.entries import AuditEvent
from services.jobs.records import JobState, Picture, Record
from services.jobs.spool import Spool

router = APIRouter(prefix="/v1/instances", tags=["instances"])

PNG: Final = "image/png"
# They are somebody's chest: nobody on the way keeps them, nor a browser after its user has gone.
_HEADERS: Final = {"Cache-Control": "no-store"}
_CONTENT: Final = {PNG: {"schema": {"type": "string", "format": "binary"}}}
_PICTURE: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "The picture.", "content": _CONTENT}}
_RESPONSES: Final = _PICTURE | documented(404, 409, 410, 422, 503)


class PreviewQuery(BaseModel):
    """A preview has no parameters; one that is sent all the same is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HeatmapQuery(BaseModel):
    """Parameters of a heat map."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    layer: Literal["overlay", "heat"] = Field(
        default="overlay", description="`heat` is the heat alone, transparent where there is none."
    )


@router.get("/{instance_id}/preview.png", summary="The film", response_class=Response, responses=_RESPONSES)
@needs(Role.READ)
async def preview(
    request: Request,
    instance_id: InstanceId,
    _query: Annotated[PreviewQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> Response:
    """Return the film as a reader sees it, 8-bit gray; also of a film that was decoded, but not assessed."""
    record = await done_film(gateway, instance_id, caller)
    payload = await payload_with(gateway, record, Picture.PREVIEW)
    answer = await _answer(gateway, partial(_preview, gateway.spool, record, payload))
    gateway.note(AuditEvent.ACCESSED, record, request)
    return answer


@router.get(
    "/{instance_id}/heatmap.png", summary="What raised the score", response_class=Response, responses=_RESPONSES
)
@needs(Role.READ)
async def heatmap(
    request: Request,
    instance_id: InstanceId,
    query: Annotated[HeatmapQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> Response:
    """Return the film with what raised its score drawn over it. It does not show where disease is."""
    record = await done_film(gateway, instance_id, caller)
    if record.model is None or not is_scored(record):
        raise FilmNotAssessed("Nobody assessed this film, so that nothing explains a score; its `reason` says why.")
    payload = await payload_with(gateway, record, Picture.PREVIEW, Picture.HEATMAP)
    draw = draw_overlay if query.layer == "overlay" else draw_heat
    answer = await _answer(gateway, partial(_heatmap, gateway.spool, record, payload, record.model.digest, draw))
    gateway.note(AuditEvent.ACCESSED, record, request)
    return answer


async def done_film(gateway: Gateway, instance_id: str, caller: Caller) -> Record:
    """Return the record of a film that the caller sees; raise FilmNotDone while it has no outcome."""
    record = await gateway.film(instance_id, caller)
    if record.state is not JobState.DONE:
        raise FilmNotDone("The film has no outcome yet. Ask for its record with `wait`, then for this.")
    return record


def is_scored(record: Record) -> bool:
    """Return whether a probability stands in a record."""
    return record.outcome is not None and record.outcome.is_scored


async def payload_with(gateway: Gateway, record: Record, *pictures: Picture) -> str:
    """Return the name of the payload beside which a worker kept these pictures of a film that is done.

    Raises
    ------
    FilmNotAssessed
        If the film ended undecoded, so that there was nothing to make a picture of.
    PictureAbsent
        If it was decoded, but the picture was never kept.
    PictureGone
        If the payload is gone, and its pictures with it.
    """
    links = {Picture.PREVIEW: record.links.preview, Picture.HEATMAP: record.links.heatmap}
    if any(links[picture] is None for picture in pictures):
        if is_scored(record) or record.timings_ms.decode is not None:
            raise PictureAbsent("No such picture was kept of this film; its record's `links` say which there are.")
        raise FilmNotAssessed("No picture was made of this film; its `reason` says why it was not assessed.")
    registration = (await gateway.queue.registrations([record.id])).get(record.id)
    if registration is None or registration.payload is None:
        raise PictureGone("past retention")
    return registration.payload


async def _answer(gateway: Gateway, picture: Callable[[], bytes]) -> Response:
    return Response(await gateway.drawings.draw(picture), headers=_HEADERS, media_type=PNG)


def _preview(spool: Spool, record: Record, payload: str) -> bytes:
    return draw_preview(spool.read_picture(payload, Picture.PREVIEW), of=record.sha256)


def _heatmap(spool: Spool, record: Record, payload: str, digest: str, draw: Callable[..., bytes]) -> bytes:
    film = spool.read_picture(payload, Picture.PREVIEW)
    activation = spool.read_picture(payload, Picture.HEATMAP, by=digest)
    return draw(film, activation, film=record.sha256, model=digest)
