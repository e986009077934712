"""Films: sent, and asked after."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from model.decoding.header import ImageFormat
from model.demographics import OLDEST_YEARS
from model.errors import ModelError
from services.api.access.guard import address_of
from services.api.errors import ApiError
from services.api.gateway import CallerDependency, Gateway, GatewayDependency
from services.api.metrics import ACCEPTED, KNOWN, SOURCE_HTTP
from services.api.parameters import UID_PATTERN, FilmSite, InstanceId, NoQuery
from services.api.problems import documented
from services.api.scopes import Caller, Role, needs
from services.api.uploads import ANY_FORMAT, MULTIPART, SMALL_BYTES
from services.jobs.errors import JobsError
from services.jobs.ingest import Placement, ingest, read_job, warn_of_revision
from services.jobs.ledger.entries import AuditEvent
from services.jobs.queue import Submission
from services.jobs.records import Claims, JobState, Priority, Record

router = APIRouter(prefix="/v1/instances", tags=["instances"])

LONGEST_WAIT_SECONDS: Final = 30

Wait = Annotated[
    int,
    Field(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for the outcome before answering without it."),
]


class SubmitQuery(BaseModel):
    """Parameters of a submit. An unknown one is refused: a misspelt ``priority`` must not silently mean routine."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    priority: Priority = Field(default=Priority.ROUTINE, description="stat films are scored first.")
    site: FilmSite = None
    wait: Wait = 0
    study_uid: str | None = Field(
        default=None, pattern=UID_PATTERN, max_length=64, description="Study of a PNG or JPEG film. Refused for DICOM."
    )
    view: Literal["PA", "AP", "LL", "RL"] | None = Field(
        default=None, description="View of a PNG or JPEG film. Refused for DICOM."
    )
    age: float | None = Field(
        default=None,
        ge=0,
        le=OLDEST_YEARS,
        description="Patient's age in years, for a PNG or JPEG film. Refused for DICOM.",
    )
    sex: Literal["F", "M", "O"] | None = Field(
        default=None, description="Patient's sex, for a PNG or JPEG film. Refused for DICOM."
    )

    def placement(self, caller: Caller) -> Placement:
        """Return what the caller says of the film."""
        claims = Claims(view=self.view, age_years=self.age, sex=self.sex)
        return Placement(
            site=caller.site_for(self.site), priority=self.priority, study_uid=self.study_uid, claims=claims
        )


class RecordQuery(BaseModel):
    """Parameters of a look at a record."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    wait: Wait = 0


_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_FORM: Final = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {"file": {"type": "string", "format": "binary"}},
}
_REQUEST_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The file as it is, or multipart/form-data with exactly one part named `file`.",
        "content": {
            **dict.fromkeys((*(kind.value for kind in ImageFormat), ANY_FORMAT), _BINARY),
            MULTIPART: {"schema": _FORM},
        },
    },
    "parameters": [
        {
            "name": "Content-Digest",
            "in": "header",
            "required": False,
            "description": "`sha-256=:<base64>:` of the body (RFC 9530); bytes that differ are refused.",
            "schema": {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"},
        }
    ],
}
_ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": Record, "description": "The film is done: its whole record."},
    202: {
        "model": Record,
        "description": "The film is durable and will get its outcome.",
        "headers": {"Location": {"description": "Where the record is.", "schema": {"type": "string"}}},
    },
}


@router.post(
    "",
    summary="Send a film",
    status_code=202,
    response_class=Response,
    responses=_ACCEPTED | documented(400, 408, 413, 415, 422, 429, 503, 507),
    openapi_extra=_REQUEST_BODY,
)
@needs(Role.SUBMIT)
async def submit(
    request: Request, query: Annotated[SubmitQuery, Query()], gateway: GatewayDependency, caller: CallerDependency
) -> Response:
    """Accept a film durably. Sending the same bytes again is harmless: it is the same film, with the same id."""
    try:
        submission = await _receive(request, query, gateway, caller)
    except (ApiError, JobsError, ModelError) as error:
        gateway.metrics.images_received.labels(SOURCE_HTTP, error.code).inc()
        raise
    gateway.metrics.images_received.labels(SOURCE_HTTP, ACCEPTED if submission.is_new else KNOWN).inc()
    record = submission.record
    if submission.is_new:
        gateway.note(AuditEvent.ACCEPTED, record, request)
        warn_of_revision(gateway.audit, submission, who=caller.key_id, source=address_of(request))
    if query.wait and record.state is not JobState.DONE:
        record = await gateway.outcome(record, caller, query.wait)
    return record_response(record, status=200 if record.state is JobState.DONE else 202)


async def _receive(request: Request, query: SubmitQuery, gateway: Gateway, caller: Caller) -> Submission:
    placement = query.placement(caller)
    with gateway.quotas.upload(caller):
        await _check_room(request, placement, gateway)
        async with gateway.uploads.receive(request, partial(read_job, placement=placement)) as payload:
            submission = await ingest(payload.upload, payload.job, spool=gateway.spool, queue=gateway.queue)
            gateway.metrics.payload_bytes.observe(payload.upload.size_bytes)
            return submission


async def _check_room(request: Request, placement: Placement, gateway: Gateway) -> None:
    """Look whether there is room: who sends a large film, or asks whether to send, learns of a full queue before.

    A small film is looked up before anything of it is written, and that look says so as well. To read so much costs
    less than to ask once more, and leaves a refused sender its connection.
    """
    declared = request.headers.get("content-length", "")
    declared_bytes = int(declared) if declared.isdecimal() else 0
    if "expect" in request.headers or not 0 < declared_bytes <= SMALL_BYTES:
        await gateway.queue.check_room(priority=placement.priority, site=placement.site, payload_bytes=declared_bytes)


@router.get("/{instance_id}", summary="A film's record", response_model=Record, responses=documented(404, 422, 503))
@needs(Role.SUBMIT, Role.READ)
async def record(
    request: Request,
    instance_id: InstanceId,
    query: Annotated[RecordQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> Response:
    """Return the record as it is, or as soon as the film is done within ``wait`` seconds."""
    film = await gateway.film(instance_id, caller, wait_seconds=query.wait)
    if film.state is JobState.DONE:
        gateway.note(AuditEvent.ACCESSED, film, request)
    return record_response(film, status=200)


@router.delete("/{instance_id}", summary="Withdraw a film", response_model=Record, responses=documented(404, 422, 503))
@needs(Role.SUBMIT)
async def withdraw(
    request: Request,
    instance_id: InstanceId,
    _query: Annotated[NoQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> Response:
    """Take a film back: it ends `not_assessed(withdrawn)`, whatever it was, and leaves its study.

    Nothing is erased: its earlier decision stays in its history, its payload until its retention is over. Repeating is
    harmless.
    """
    await gateway.film(instance_id, caller)
    withdrawal = await gateway.queue.withdraw(instance_id)
    if withdrawal.is_first:
        gateway.note(AuditEvent.WITHDRAWN, withdrawal.record, request)
    return record_response(withdrawal.record, status=200)


def record_response(record: Record, *, status: int) -> Response:
    """Return a record as JSON; a film that is not done yet says where to ask again."""
    headers = {"Location": record.links.self} if status == 202 else {}
    return Response(record.model_dump_json(), status_code=status, headers=headers, media_type="application/json")
