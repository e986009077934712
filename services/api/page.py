"""The page's files, read once at start. They hold no data of anybody; what they show they ask the API for.

Must not know routes. The files lie in ``web/``: plain HTML, CSS and ES modules, served as they are.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from model.errors import Reason

START: Final = "index.html"
# What the page may load and whom it may ask: this service. `blob:` is a picture that it has fetched itself. Trusted
# types: no string ever becomes markup or a script, whatever a record says.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_FILES: Final = Path(__file__).parent / "web"
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


@dataclass(frozen=True, kw_only=True)
class PageFile:
    """One file; ``compressed`` is its content by gzip, ``tag`` the ETag of both, which therefore is weak."""

    content: bytes
    compressed: bytes
    media_type: str
    tag: str


Page: TypeAlias = Mapping[str, PageFile]


def read_page() -> Page:
    """Return the page's files by name, and ``reasons.json``: what each reason for ``not_assessed`` means."""
    contents = {path.name: path.read_bytes() for path in sorted(_FILES.iterdir()) if path.suffix in _MEDIA_TYPES}
    contents["reasons.json"] = json.dumps({reason.value: reason.meaning for reason in Reason}).encode()
    return {name: _file(name, content) for name, content in contents.items()}


def _file(name: str, content: bytes) -> PageFile:
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
    # At start, once: a page of two hundred kilobytes comes as a third of that, and costs no request any time.
    compressed = gzip.compress(content, mtime=0)
    return PageFile(content=content, compressed=compressed, media_type=_MEDIA_TYPES[Path(name).suffix], tag=tag)
