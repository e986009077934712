"""Conditional requests: whether a caller already has what it asks for."""

from __future__ import annotations

import re
from typing import Any, Final

from fastapi import Request

NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "Nothing has changed since this ETag."}}

# Between its quotes a tag may have commas and stars (RFC 9110 §8.8.3).
_NAMED: Final = re.compile(r'"[^"]*"')


def is_known(tag: str, request: Request) -> bool:
    """Return whether If-None-Match names this tag: ``*``, alone, names any; weakness is not compared (§13.1.2)."""
    header = ",".join(request.headers.getlist("if-none-match")).strip()
    return header in (tag, "*") or tag.removeprefix("W/") in _NAMED.findall(header)
