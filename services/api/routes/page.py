"""The page and its files. Open without a key, like the probes: they are the same for everybody, and hold no data."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from services.api.conditional import is_known
from services.api.gateway import GatewayDependency
from services.api.page import CONTENT_SECURITY_POLICY, START, PageFile
from services.api.scopes import open_to_all

# Not part of the HTTP contract: files come and go with the version.
router = APIRouter(include_in_schema=False)

_METHODS: Final = ["GET", "HEAD"]
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Asked for again each time, by its tag: an upgraded gateway must not meet the scripts of the one before.
    "Cache-Control": "no-cache",
}


@router.api_route("/", methods=_METHODS)
@open_to_all
async def start(request: Request, gateway: GatewayDependency) -> Response:
    """Return the page."""
    return _answer(request, gateway.page[START])


@router.api_route("/web/{name}", methods=_METHODS)
@open_to_all
async def file(name: str, request: Request, gateway: GatewayDependency) -> Response:
    """Return one of the page's files."""
    if name not in gateway.page:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return _answer(request, gateway.page[name])


def _answer(request: Request, found: PageFile) -> Response:
    headers = _HEADERS | {"ETag": found.tag}
    if is_known(found.tag, request):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(found.content, headers=headers, media_type=found.media_type)
