"""The page's session: a key is shown once, and from then on a cookie stands for it that no script can read."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from starlette.responses import Response

from services.api.access.guard import address_of, caller_of
from services.api.access.sessions import COOKIE
from services.api.errors import MalformedRequest, PayloadTooLarge, UnsupportedMediaType, UploadTimeout
from services.api.gateway import CallerDependency, Gateway, GatewayDependency
from services.api.problems import documented
from services.api.schemas import SessionFacts
from services.api.scopes import ANYBODY, Caller, Role, needs, open_to_all
from services.jobs.ledger.entries import AuditEvent

router = APIRouter(prefix="/v1/session", tags=["session"])

_MOST_BYTES: Final = 4096
_MOST_CHARACTERS: Final = 256  # a key has about a third of that
_PATIENCE_SECONDS: Final = 10.0
_JSON: Final = "application/json"
_ADVICE: Final = 'Send {"key": "cxr_…"} as application/json.'
_SIGNED_IN: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": {"Set-Cookie": {"description": "The session, for browsers.", "schema": {"type": "string"}}}}
}


class SignIn(BaseModel):
    """What somebody signs in with."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: SecretStr = Field(max_length=_MOST_CHARACTERS)


_REQUEST_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            _JSON: {
                "schema": {
                    "type": "object",
                    "required": ["key"],
                    "additionalProperties": False,
                    "properties": {"key": {"type": "string", "format": "password", "maxLength": _MOST_CHARACTERS}},
                }
            }
        },
    }
}


@router.post(
    "",
    summary="Sign in with a key",
    response_model=SessionFacts,
    responses=_SIGNED_IN | documented(400, 408, 413, 415, 503),
    openapi_extra=_REQUEST_BODY,
)
@open_to_all
async def sign_in(request: Request, gateway: GatewayDependency) -> Response:
    """Begin a session; the answer's cookie stands for the key. For the page of this service only: Origin is checked."""
    offered = await _read(request)
    key = gateway.guard.key_to_sign_in(request, offered.key.get_secret_value())
    if key is None:
        return _answer(ANYBODY)
    gateway.quotas.sign_in(key.id)
    token, session = await gateway.sessions.begin(key.id)
    await _end_present(request, gateway)
    gateway.audit.note(AuditEvent.SIGNED_IN, who=key.id, source=address_of(request))
    response = _answer(caller_of(key, session))
    _set_cookie(response, gateway, token, gateway.sessions.seconds)
    return response


@router.get("", summary="Who is signed in", responses=documented(503))
@needs(*Role)
async def who(caller: CallerDependency) -> SessionFacts:
    """Say whose key this is, what it may do and where, and when it has to be shown again."""
    return SessionFacts.of(caller)


@router.delete("", summary="Sign out", status_code=204, responses=documented(503))
@needs(*Role)
async def sign_out(request: Request, gateway: GatewayDependency, caller: CallerDependency) -> Response:
    """End the session, at every gateway. A caller that sent its key has none to end."""
    if await _end_present(request, gateway):
        gateway.audit.note(AuditEvent.SIGNED_OUT, who=caller.key_id, source=address_of(request))
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    _set_cookie(response, gateway, "", 0)
    return response


async def _end_present(request: Request, gateway: Gateway) -> bool:
    token = request.cookies.get(COOKIE)
    if not token:
        return False
    await gateway.sessions.end(token)
    return True


def _answer(caller: Caller) -> Response:
    facts = SessionFacts.of(caller).model_dump_json()
    return Response(facts, headers={"Cache-Control": "no-store"}, media_type=_JSON)


def _set_cookie(response: Response, gateway: Gateway, token: str, seconds: int) -> None:
    response.set_cookie(
        COOKIE, token, max_age=seconds, path="/", secure=gateway.sessions.is_secure, httponly=True, samesite="strict"
    )


async def _read(request: Request) -> SignIn:
    """Return the body. Not by FastAPI, which reads a body of any length before it asks who sends it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise UnsupportedMediaType(_ADVICE)
    content = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise PayloadTooLarge(_ADVICE)
    except TimeoutError as error:
        raise UploadTimeout("The body stalled. Send it again.") from error
    try:
        return SignIn.model_validate_json(bytes(content))
    except ValidationError:
        # Without the cause, whose text quotes what was sent.
        raise MalformedRequest(_ADVICE) from None
