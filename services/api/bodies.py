"""Small JSON bodies, read by hand: FastAPI reads a body of any length before it asks who sends it."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from services.api.errors import MalformedRequest, PayloadTooLarge, UnsupportedMediaType, UploadTimeout

JSON: Final = "application/json"
MOST_BYTES: Final = 4096
_PATIENCE_SECONDS: Final = 10.0
_ADVICE: Final = "Send the body as application/json; docs/api.md has its fields."

_Body = TypeVar("_Body", bound=BaseModel)


async def read_json(request: Request, form: type[_Body], *, most_bytes: int = MOST_BYTES) -> _Body:
    """Return the body of a request.

    Raises
    ------
    UnsupportedMediaType, PayloadTooLarge, UploadTimeout
        If it is declared as something else, is longer than that, or stalls.
    MalformedRequest
        If it is no JSON.
    RequestValidationError
        If it is not of this form; the answer names the fields, and quotes nothing that was sent.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType(_ADVICE)
    content = await _received(request, most_bytes)
    try:
        return form.model_validate_json(content)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    if any(fault["type"] == "json_invalid" for fault in faults):
        raise MalformedRequest(_ADVICE)
    raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in faults])


async def _received(request: Request, most_bytes: int) -> bytes:
    content = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > most_bytes:
                    raise PayloadTooLarge(f"The body is longer than {most_bytes} bytes. {_ADVICE}")
    except TimeoutError as error:
        raise UploadTimeout("The body stalled. Send it again.") from error
    return bytes(content)


def body_of(form: type[BaseModel]) -> dict[str, Any]:
    """Return OpenAPI's words for a body that ``read_json`` reads."""
    schema = form.model_json_schema()
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}
