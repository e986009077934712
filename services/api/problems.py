"""Problem documents (RFC 9457): what a request that failed is answered, whoever raised it.

``detail`` tells the caller what to do and never quotes what was sent: DICOM values and file names are somebody's. Which
status an error has is in ``answers``.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from model.errors import ModelError
from services.api.answers import answer_to
from services.api.backpressure import Backpressure, with_jitter
from services.api.errors import ApiError
from services.api.refusals import TooManyRequests
from services.api.schemas import InvalidParameter, Problem
from services.dicom.errors import ResultError
from services.jobs import errors as jobs

MEDIA_TYPE: Final = "application/problem+json"
INTERNAL_ERROR: Final = "internal_error"
BEARER: Final = 'Bearer realm="cxr-triage"'
BASIC: Final = 'Basic realm="cxr-triage", charset="UTF-8"'
PAGE_HEADER: Final = "x-requested-by-page"
# Named in one answer; a query can have thousands.
_MOST_FAULTS: Final = 16


# What the framework raises before a route is reached.
_FRAMEWORK_CODES: Final[Mapping[int, tuple[str, str]]] = {
    404: ("not_found", "There is nothing at this path; docs/api.md lists the routes."),
    405: ("method_not_allowed", "This path does not take this method; the Allow header names those it takes."),
}


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


def refusal(request_id: uuid.UUID, error: Exception) -> Response:
    """Return the answer to a request that did not reach the application; ``observation`` does not see it."""
    answer = answer_to(error)
    headers = (
        {} if answer.retry_after_seconds is None else {"Retry-After": str(with_jitter(answer.retry_after_seconds))}
    )
    scope: Scope = {"state": {"request_id": request_id}}
    return problem_response(scope, answer.status, _code_of(error), answer.advice or str(error), headers=headers)


def _code_of(error: Exception) -> str:
    return str(getattr(error, "code"))  # noqa: B009 - every class of the table has one; Exception does not


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
            **({"headers": retry_after} if status in (429, 503, 507) else {}),
        }
        for status in statuses
    }


def install(app: FastAPI, backpressure: Backpressure) -> None:
    """Make every error of a route, and of the framework before it, a problem document."""

    async def domain_error(request: Request, error: Exception) -> Response:
        answer, headers = answer_to(error), {}
        if isinstance(error, jobs.QueueFull | jobs.SiteShareUsed):
            headers["Retry-After"] = str(backpressure.full_queue_seconds())
        elif isinstance(error, TooManyRequests):
            headers["Retry-After"] = str(with_jitter(error.seconds))
        elif answer.retry_after_seconds is not None:
            headers["Retry-After"] = str(with_jitter(answer.retry_after_seconds))
        if answer.status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = _challenge(request)
        return problem_response(
            request.scope, answer.status, _code_of(error), answer.advice or str(error), headers=headers
        )

    for root in (ApiError, jobs.JobsError, ModelError, ResultError):
        app.add_exception_handler(root, domain_error)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(HTTPException, _framework_error)


def _challenge(request: Request) -> str:
    """Return the challenge. The page signs in by itself, and a browser that hears of Basic asks for a password."""
    return BEARER if PAGE_HEADER in request.headers else f"{BEARER}, {BASIC}"


async def _invalid_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["loc"][0] == "path" for fault in faults):
        return problem_response(request.scope, 404, "not_found", "Nothing has an identifier of this form.")
    invalid = tuple(
        InvalidParameter(parameter=".".join(str(part) for part in fault["loc"][1:]) or "body", message=fault["msg"])
        for fault in faults[:_MOST_FAULTS]
    )
    named = "; ".join(f"{fault.parameter}: {fault.message}" for fault in invalid)
    return problem_response(request.scope, 422, "invalid_parameter", f"Correct the request: {named}", errors=invalid)


async def _framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, detail = _FRAMEWORK_CODES.get(error.status_code, ("http_error", "The request could not be served."))
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _methods_of(request)
    return problem_response(request.scope, error.status_code, code, detail, headers=headers)


def _methods_of(request: Request) -> str:
    """Return what Allow has to list (RFC 9110 §15.5.6): every method of the path, not only those of its first route."""
    routes: Sequence[APIRoute] = request.app.state.routes
    methods = {method for route in routes if route.path_regex.match(request.url.path) for method in route.methods or ()}
    return ", ".join(sorted(methods))
