"""Results as DICOM: a film's report and its overlay, made on request, the same bytes each time.

What delivery sends to archives, for whoever fetches by HTTP instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from model.decoding.header import ImageFormat
from model.decoding.source_attributes import SourceAttributes
from services.api.errors import FilmNotAssessed, FilmNotDone
from services.api.gateway import CallerDependency, Gateway, GatewayDependency
from services.api.parameters import InstanceId
from services.api.problems import documented
from services.api.routes.pictures import done_film, is_scored, payload_with
from services.api.scopes import Role, needs
from services.dicom.errors import FilmGone, FilmNotDicom
from services.dicom.files import overlay_file, report_file
from services.dicom.source import read_verified_source
from services.jobs.ledger.entries import AuditEvent
from services.jobs.records import PastDecision, Picture, Record
from services.jobs.spool import Spool

router = APIRouter(prefix="/v1/instances", tags=["instances"])

_MEDIA_TYPE: Final = ImageFormat.DICOM.value
# They name a patient: nobody on the way keeps them, nor a browser after its user has gone.
_HEADERS: Final = {"Cache-Control": "no-store"}
_CONTENT: Final = {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
_OBJECT: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "The DICOM file.", "content": _CONTENT}}


class ResultQuery(BaseModel):
    """Results have no parameters; one that is sent all the same is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@router.get(
    "/{instance_id}/report.dcm",
    summary="The outcome as DICOM SR",
    response_class=Response,
    responses=_OBJECT | documented(404, 409, 410, 422, 501, 503),
)
@needs(Role.READ)
async def report(
    request: Request,
    instance_id: InstanceId,
    _query: Annotated[ResultQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> Response:
    """Return a Comprehensive 3D SR (TID 1500) of the film's study; also of a film that was not assessed."""
    record = await done_film(gateway, instance_id, caller)
    payload = await _payload_of(gateway, record)
    past = await _past_of(gateway, record)
    answer = await _answer(gateway, partial(_report, gateway.spool, record, payload, past))
    gateway.note(AuditEvent.ACCESSED, record, request)
    return answer


@router.get(
    "/{instance_id}/overlay.dcm",
    summary="What raised the score, as DICOM",
    response_class=Response,
    responses=_OBJECT | documented(404, 409, 410, 422, 501, 503),
)
@needs(Role.READ)
async def overlay(
    request: Request,
    instance_id: InstanceId,
    _query: Annotated[ResultQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> Response:
    """Return a secondary capture of the film's study: preview, heat, and that it is no diagnosis."""
    record = await done_film(gateway, instance_id, caller)
    if not is_scored(record):
        raise FilmNotAssessed("Nobody assessed this film, so that nothing explains a score; its `reason` says why.")
    payload = await payload_with(gateway, record, Picture.PREVIEW, Picture.HEATMAP)
    past = await _past_of(gateway, record)
    answer = await _answer(gateway, partial(_overlay, gateway.spool, record, payload, commit=len(past) + 1))
    gateway.note(AuditEvent.ACCESSED, record, request)
    return answer


async def _payload_of(gateway: Gateway, record: Record) -> str:
    registration = (await gateway.queue.registrations([record.id])).get(record.id)
    if registration is None or registration.payload is None:
        raise FilmGone("past retention")
    return registration.payload


async def _past_of(gateway: Gateway, record: Record) -> Sequence[PastDecision]:
    """Return the decisions before the one that the record holds, oldest first; each has objects of its own.

    Raises
    ------
    FilmNotDone
        If the film is being decided anew meanwhile: one decision's objects must not say what another one was.
    """
    past = await gateway.queue.history(record.id)
    now = await gateway.queue.record(record.id)
    if now.done_at != record.done_at:
        raise FilmNotDone("The film is being scored again. Ask for its record with `wait`, then for this.")
    return past


async def _answer(gateway: Gateway, result: Callable[[], bytes]) -> Response:
    return Response(await gateway.drawings.draw(result), headers=_HEADERS, media_type=_MEDIA_TYPE)


def _report(spool: Spool, record: Record, payload: str, past: Sequence[PastDecision]) -> bytes:
    return report_file(record, _source(spool, record, payload), past)


def _overlay(spool: Spool, record: Record, payload: str, *, commit: int) -> bytes:
    assert record.model is not None, "a scored record names its model"
    source = _source(spool, record, payload)
    preview = spool.read_picture(payload, Picture.PREVIEW)
    activation = spool.read_picture(payload, Picture.HEATMAP, by=record.model.digest)
    return overlay_file(record, source, preview, activation, commit=commit)


def _source(spool: Spool, record: Record, payload: str) -> SourceAttributes:
    job = spool.job_of(payload)
    if job is None:
        raise FilmGone("past retention")
    if job.image_format is not ImageFormat.DICOM:
        raise FilmNotDicom("The film is a PNG or JPEG, which has no patient and no study to report to.")
    return read_verified_source(spool.read(job), sha256=record.sha256)
