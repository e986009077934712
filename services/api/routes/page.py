"""The page and its files. Open without a key, like the probes: they are the same for everybody, and hold no data."""

from __future__ import annotations

import re
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

_NOT_AT_ALL: Final = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")
_METHODS: Final = ["GET", "HEAD"]
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Asked for again each time, by its tag: an upgraded gateway must not meet the scripts of the one before.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
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
    if _takes_gzip(request):
        return Response(found.compressed, headers=headers | {"Content-Encoding": "gzip"}, media_type=found.media_type)
    return Response(found.content, headers=headers, media_type=found.media_type)


def _takes_gzip(request: Request) -> bool:
    """Return whether the caller names gzip without refusing it (RFC 9110 §12.5.3)."""
    offers = ",".join(request.headers.getlist("accept-encoding")).lower().split(",")
    weights = {name.strip(): weight for name, _, weight in (offer.partition(";") for offer in offers)}
    return "gzip" in weights and not _NOT_AT_ALL.fullmatch(weights["gzip"])
