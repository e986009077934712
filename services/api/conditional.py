"""Conditional requests: whether a caller already has what it asks for."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request

NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "Nothing has changed since this ETag."}}


def is_known(tag: str, request: Request) -> bool:
    """Return whether If-None-Match names this tag: ``*`` names any, and weakness is not compared (RFC 9110 §13.1.2)."""
    header = ",".join(request.headers.getlist("if-none-match"))
    named = {named.strip().removeprefix("W/") for named in header.split(",")}
    return "*" in named or tag.removeprefix("W/") in named
