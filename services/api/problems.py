"""The one table from error class to HTTP status, and the problem documents made from it (RFC 9457).

Knows every error that a request can meet; no other module names a status for one. ``detail`` tells the caller what to
do and never quotes what was sent: DICOM values and file names are somebody's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from model.errors import BundleError, CorruptImage, InferenceError, ModelError, UnsuitableImage, UnsupportedFormat
from services.api import errors as api
from services.api.backpressure import Backpressure, with_jitter
from services.api.schemas import InvalidParameter, Problem
from services.jobs import errors as jobs
from services.jobs.settings import SettingsError

MEDIA_TYPE: Final = "application/problem+json"
INTERNAL_ERROR: Final = "internal_error"
CHALLENGE: Final = 'Bearer realm="cxr-triage", Basic realm="cxr-triage", charset="UTF-8"'


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How an error class is answered.

    Attributes
    ----------
    status
        HTTP status.
    advice
        What the caller should do. ``None`` where the error's own message says it; those of ``services.jobs`` and of
        Redis do not speak to callers.
    retry_after_seconds
        Base of the Retry-After header; ``None`` where waiting does not help.
    """

    status: HTTPStatus
    advice: str | None = None
    retry_after_seconds: float | None = None


# A class answers for its subclasses unless they have a row of their own.
TABLE: Final[Mapping[type[Exception], Answer]] = {
    UnsupportedFormat: Answer(
        status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, advice="Send a DICOM Part 10, PNG or JPEG file; these bytes are none."
    ),
    CorruptImage: Answer(status=HTTPStatus.UNPROCESSABLE_ENTITY),
    api.Unauthenticated: Answer(status=HTTPStatus.UNAUTHORIZED),
    api.MalformedRequest: Answer(status=HTTPStatus.BAD_REQUEST),
    api.UnsupportedMedia: Answer(status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    api.Unprocessable: Answer(status=HTTPStatus.UNPROCESSABLE_ENTITY),
    api.PayloadTooLarge: Answer(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    api.UploadTimeout: Answer(status=HTTPStatus.REQUEST_TIMEOUT),
    api.ModelNotLoaded: Answer(status=HTTPStatus.NOT_FOUND),
    api.FilmNotDone: Answer(status=HTTPStatus.CONFLICT),
    api.FilmNotAssessed: Answer(status=HTTPStatus.CONFLICT),
    api.PictureAbsent: Answer(status=HTTPStatus.NOT_FOUND),
    api.NotReady: Answer(status=HTTPStatus.SERVICE_UNAVAILABLE, retry_after_seconds=2),
    jobs.JobNotFound: Answer(status=HTTPStatus.NOT_FOUND, advice="No film of this id is known here; check the id."),
    jobs.StudyNotFound: Answer(
        status=HTTPStatus.NOT_FOUND, advice="No study of this UID is known at this site; check the UID and `site`."
    ),
    jobs.PictureGone: Answer(
        status=HTTPStatus.GONE, advice="The picture was kept, but not any more; the film's record stays. Do not repeat."
    ),
    jobs.QueueFull: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        advice="The backlog is full and nothing was kept. Send the film again after Retry-After seconds.",
        retry_after_seconds=10,
    ),
    jobs.QueueUnavailable: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        advice="The queue does not answer. Repeat the request after Retry-After seconds; repeating is harmless.",
        retry_after_seconds=5,
    ),
    jobs.RecordCorrupt: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        advice="What is stored of this film cannot be read, and it counts as unread. Tell the operator.",
        retry_after_seconds=60,
    ),
    jobs.SpoolFull: Answer(
        status=HTTPStatus.INSUFFICIENT_STORAGE,
        advice="The service has no room for payloads and kept nothing. Tell its operator; repeat after Retry-After.",
        retry_after_seconds=60,
    ),
    jobs.SpoolUnavailable: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        advice="The service cannot write payloads. Tell its operator; repeat after Retry-After seconds.",
        retry_after_seconds=30,
    ),
}

# Errors that no request can meet: they end a process at start, or a worker turns them into a film's reason.
NEVER_ANSWERED: Final[frozenset[type[Exception]]] = frozenset(
    {BundleError, InferenceError, UnsuitableImage, SettingsError}
)

# What the framework raises before a route is reached.
_FRAMEWORK_CODES: Final[Mapping[int, tuple[str, str]]] = {
    404: ("not_found", "There is nothing at this path; docs/api.md lists the routes."),
    405: ("method_not_allowed", "This path does not take this method; the Allow header names those it takes."),
}


def answer_to(error: Exception) -> Answer:
    """Return the row of an error's class or of its nearest ancestor; raise ``LookupError`` where there is none."""
    for ancestor in type(error).__mro__:
        if ancestor in TABLE:
            return TABLE[ancestor]
    raise LookupError(f"{type(error).__name__} has no row in the table of problems")


def problem_response(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    *,
    errors: tuple[InvalidParameter, ...] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document; its ``instance`` is the request's id, which the log has too."""
    scope.setdefault("state", {})["problem_code"] = code
    problem = Problem(
        status=status,
        title=HTTPStatus(status).phrase,
        detail=detail,
        instance=f"urn:uuid:{scope['state'].get('request_id', uuid.UUID(int=0))}",
        code=code,
        errors=errors,
    )
    return Response(
        problem.model_dump_json(exclude_none=True),
        status_code=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's ``responses`` for a route that may answer with problems of these statuses."""
    retry_after = {
        "Retry-After": {
            "description": "Whole seconds to wait before repeating the request.",
            "schema": {"type": "integer", "minimum": 1, "maximum": 120},
        }
    }
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": retry_after} if status in (503, 507) else {}),
        }
        for status in statuses
    }


def install(app: FastAPI, backpressure: Backpressure) -> None:
    """Make every error of a route, and of the framework before it, a problem document."""

    async def domain_error(request: Request, error: Exception) -> Response:
        answer, headers = answer_to(error), {}
        if isinstance(error, jobs.QueueFull):
            headers["Retry-After"] = str(backpressure.full_queue_seconds())
        elif answer.retry_after_seconds is not None:
            headers["Retry-After"] = str(with_jitter(answer.retry_after_seconds))
        if answer.status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = CHALLENGE
        code = getattr(error, "code")  # noqa: B009 - every class of the table has one; Exception does not
        return problem_response(request.scope, answer.status, code, answer.advice or str(error), headers=headers)

    for root in (api.ApiError, jobs.JobsError, ModelError):
        app.add_exception_handler(root, domain_error)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(HTTPException, _framework_error)


async def _invalid_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["loc"][0] == "path" for fault in faults):
        return problem_response(request.scope, 404, "not_found", "Nothing has an identifier of this form.")
    invalid = tuple(
        InvalidParameter(parameter=".".join(str(part) for part in fault["loc"][1:]) or "body", message=fault["msg"])
        for fault in faults
    )
    named = "; ".join(f"{fault.parameter}: {fault.message}" for fault in invalid)
    return problem_response(request.scope, 422, "invalid_parameter", f"Correct the query: {named}", errors=invalid)


async def _framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, detail = _FRAMEWORK_CODES.get(error.status_code, ("http_error", "The request could not be served."))
    return problem_response(request.scope, error.status_code, code, detail, headers=error.headers)
