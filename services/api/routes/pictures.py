"""Pictures of a film: as a reader sees it, and with what raised its score. Drawn on request from what a worker kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api.conditional import NOT_MODIFIED, is_known
from services.api.drawing import draw_heat, draw_overlay, draw_preview
from services.api.errors import FilmNotAssessed, FilmNotDone, PictureAbsent
from services.api.gateway import Gateway, GatewayDependency, require_key
from services.api.problems import documented
from services.api.routes.instances import InstanceId
from services.jobs.errors import PictureGone
from services.jobs.records import JobState, Picture, Record

router = APIRouter(prefix="/v1/instances", tags=["instances"], dependencies=[Depends(require_key)])

PNG: Final = "image/png"
# A film's pictures never change while they exist. Only the caller itself may keep them: they are somebody's chest.
_CACHE_CONTROL: Final = "private, max-age=3600, immutable"
_CONTENT: Final = {PNG: {"schema": {"type": "string", "format": "binary"}}}
_PICTURE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The picture.",
        "content": _CONTENT,
        "headers": {"ETag": {"description": "Names these pixels.", "schema": {"type": "string"}}},
    }
}
_RESPONSES: Final = _PICTURE | NOT_MODIFIED | documented(404, 409, 410, 422, 503)


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
async def preview(
    request: Request, instance_id: InstanceId, _query: Annotated[PreviewQuery, Query()], gateway: GatewayDependency
) -> Response:
    """Return the film as a reader sees it, 8-bit gray; also of a film that was decoded, but not assessed."""
    record = await _done(gateway, instance_id)
    (kept,) = await _kept(gateway, record, Picture.PREVIEW)
    return await _answer(request, (kept,), partial(draw_preview, kept, of=record.sha256))


@router.get(
    "/{instance_id}/heatmap.png", summary="What raised the score", response_class=Response, responses=_RESPONSES
)
async def heatmap(
    request: Request, instance_id: InstanceId, query: Annotated[HeatmapQuery, Query()], gateway: GatewayDependency
) -> Response:
    """Return the film with what raised its score drawn over it. It does not show where disease is."""
    record = await _done(gateway, instance_id)
    if record.model is None or not _is_scored(record):
        raise FilmNotAssessed("Nobody assessed this film, so that nothing explains a score; its `reason` says why.")
    film, activation = await _kept(gateway, record, Picture.PREVIEW, Picture.HEATMAP)
    draw = draw_overlay if query.layer == "overlay" else draw_heat
    drawn = partial(draw, film, activation, film=record.sha256, model=record.model.digest)
    return await _answer(request, (film, activation, query.layer.encode()), drawn)


async def _done(gateway: Gateway, instance_id: str) -> Record:
    record = await gateway.queue.record(instance_id)
    if record.state is not JobState.DONE:
        raise FilmNotDone("The film has no outcome yet. Ask for its record with `wait`, then for the picture.")
    return record


def _is_scored(record: Record) -> bool:
    return record.outcome is not None and record.outcome.is_scored


async def _kept(gateway: Gateway, record: Record, *pictures: Picture) -> list[bytes]:
    """Return what a worker kept of a film that is done.

    Raises
    ------
    FilmNotAssessed
        If nobody could decode the film.
    PictureAbsent
        If it was scored, but the picture was never kept.
    PictureGone
        If it was, and is no more.
    """
    links = {Picture.PREVIEW: record.links.preview, Picture.HEATMAP: record.links.heatmap}
    if any(links[picture] is None for picture in pictures):
        if _is_scored(record):
            raise PictureAbsent("No such picture was kept of this film; its record's `links` say which there are.")
        raise FilmNotAssessed("Nobody could open this film, so that there is nothing to show; its `reason` says why.")
    registration = (await gateway.queue.registrations([record.id])).get(record.id)
    if registration is None or registration.payload is None:
        raise PictureGone("past retention")
    return [await asyncio.to_thread(gateway.spool.read_picture, registration.payload, picture) for picture in pictures]


async def _answer(request: Request, parts: tuple[bytes, ...], draw: Callable[[], bytes]) -> Response:
    tag = await asyncio.to_thread(_tag, parts)
    headers = {"ETag": tag, "Cache-Control": _CACHE_CONTROL}
    if is_known(tag, request):
        return Response(status_code=304, headers=headers)
    return Response(await asyncio.to_thread(draw), headers=headers, media_type=PNG)


def _tag(parts: tuple[bytes, ...]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return f'"{digest.hexdigest()[:32]}"'
