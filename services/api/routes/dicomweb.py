"""STOW-RS (PS3.18 10.5): instances sent as DICOMweb clients send them, into the same queue as every other film.

Each instance is acknowledged only when it is durable, and fails by itself. What was whole when a request breaks off is
kept, of the rest nothing; so whoever is in doubt sends all of it again.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api.answers import answer_to
from services.api.backpressure import with_jitter
from services.api.errors import ApiError, NotAcceptable, PayloadTooLarge, UnsupportedMediaType
from services.api.gateway import CallerDependency, Gateway, GatewayDependency
from services.api.metrics import SOURCE_STOW
from services.api.parameters import UID_PATTERN, FilmSite
from services.api.problems import documented
from services.api.related import DICOM, RELATED, media_type_of
from services.api.scopes import Caller, Role, needs
from services.api.store_replies import MEDIA_TYPE, Failed, InstanceError, Outcome, body_of, status_of
from services.api.storing import Storing
from services.jobs.errors import JobsError, QueueFull, SiteShareUsed
from services.jobs.ingest import Placement
from services.jobs.records import Priority

router = APIRouter(prefix="/dicom-web", tags=["dicomweb"])

# What allows the answer, which is DICOM JSON; many a client that reads it asks for plain JSON.
_ACCEPTED_RANGES: Final = frozenset({MEDIA_TYPE, "application/json", "application/*", "*/*"})

StudyUid = Annotated[
    str, Path(pattern=UID_PATTERN, max_length=64, description="The study that all of the instances are of.")
]


class StoreQuery(BaseModel):
    """Parameters of a store; none is DICOM's. An unknown one is refused, as ``POST /v1/instances`` does."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    priority: Priority = Field(default=Priority.ROUTINE, description="stat films are scored first.")
    site: FilmSite = None


_MODULE: Final[dict[str, Any]] = {MEDIA_TYPE: {"schema": {"type": "object"}}}
_BUSY: Final = documented(503)[503]
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Every instance is durable and will get its outcome.", "content": _MODULE},
    202: {"description": "Some instances are durable; others failed, each with its reason.", "content": _MODULE},
    409: {"description": "No instance was stored; each has its reason.", "content": _MODULE},
    503: _BUSY | {"content": _BUSY["content"] | _MODULE},
}
_ROUTE: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": documented(400, 406, 408, 413, 415, 422, 429) | _ANSWERS,
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in (RELATED, DICOM)
            },
        }
    },
}


@router.post("/studies", summary="Store instances (STOW-RS)", **_ROUTE)
@needs(Role.SUBMIT)
async def store(
    request: Request, query: Annotated[StoreQuery, Query()], gateway: GatewayDependency, caller: CallerDependency
) -> Response:
    """Take DICOM instances of any studies. Sending them again is harmless, and succeeds."""
    return await _store(request, query, gateway, caller, study_uid=None)


@router.post(
    "/studies/{study_uid}",
    summary="Store instances of one study (STOW-RS)",
    **_ROUTE | {"responses": _ROUTE["responses"] | documented(404)},
)
@needs(Role.SUBMIT)
async def store_to_study(
    request: Request,
    study_uid: StudyUid,
    query: Annotated[StoreQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> Response:
    """Take DICOM instances of one study; an instance of another one fails."""
    return await _store(request, query, gateway, caller, study_uid=study_uid)


async def _store(
    request: Request, query: StoreQuery, gateway: Gateway, caller: Caller, *, study_uid: str | None
) -> Response:
    try:
        _check_accept(request)
        placement = Placement(site=caller.site_for(query.site), priority=query.priority, study_uid=study_uid)
        outcomes = await Storing(request, gateway, placement).receive(caller)
    except (ApiError, JobsError) as error:
        gateway.metrics.images_received.labels(SOURCE_STOW, error.code).inc()
        raise
    return _answer(request, gateway, outcomes)


def _check_accept(request: Request) -> None:
    named = [one for one in ",".join(request.headers.getlist("accept")).split(",") if one.strip()]
    if named and not any(media_type_of(one) in _ACCEPTED_RANGES and _quality(one) > 0 for one in named):
        raise NotAcceptable(f"The answer is {MEDIA_TYPE}; accept that, or everything.")


def _quality(media_range: str) -> float:
    """Return the weight of one range of an Accept header; what cannot be read weighs nothing (RFC 9110 §12.4.2)."""
    for parameter in media_range.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _answer(request: Request, gateway: Gateway, outcomes: list[Outcome]) -> Response:
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    temporary = [outcome.error for outcome in failed if outcome.failure.is_temporary]
    headers: dict[str, str] = {}
    if len(failed) == len(outcomes):
        if temporary:
            headers["Retry-After"] = str(_retry_seconds(temporary[0], gateway))
        else:
            _raise_for_unnamed(failed)
        request.scope["state"]["problem_code"] = (temporary or [one.error for one in failed])[0].code
    return Response(body_of(outcomes), status_code=status_of(outcomes), headers=headers, media_type=MEDIA_TYPE)


def _raise_for_unnamed(failed: list[Failed]) -> None:
    """Raise where no instance can be named, and a problem says more than a list of codes."""
    if any(outcome.is_identified for outcome in failed):
        return
    errors = [outcome.error for outcome in failed]
    if all(isinstance(error, UnsupportedMediaType) for error in errors):
        raise errors[0]
    for error in errors:
        if isinstance(error, PayloadTooLarge):
            raise error


def _retry_seconds(error: InstanceError, gateway: Gateway) -> int:
    if isinstance(error, QueueFull | SiteShareUsed):
        return gateway.backpressure.full_queue_seconds()
    return with_jitter(answer_to(error).retry_after_seconds or 1.0)
