"""The contract, as OpenAPI. Open to all: it is the same for everybody, and what a client needs before it has a key."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from services.api.scopes import open_to_all

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
@open_to_all
async def document(request: Request) -> JSONResponse:
    """Return the document."""
    return JSONResponse(request.app.openapi())
