"""STOW-RS by hand: bodies as clients make them, and the answers read."""

from __future__ import annotations

import io
from typing import Any, Final

import httpx
import pydicom
from pydicom import Dataset

BOUNDARY: Final = "films"
STORE_TYPE: Final = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
STORE: Final = {"Content-Type": STORE_TYPE, "Accept": "application/dicom+json"}


def opening(media_type: str = "application/dicom", boundary: str = BOUNDARY) -> bytes:
    """Return a delimiter line and the headers of a part."""
    return f"--{boundary}\r\nContent-Type: {media_type}\r\n\r\n".encode()


def related(*contents: bytes, media_type: str = "application/dicom", boundary: str = BOUNDARY) -> bytes:
    """Return a multipart/related body with a part for each."""
    parts = [opening(media_type, boundary) + content + b"\r\n" for content in contents]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def stow(client: httpx.Client, *contents: bytes, path: str = "/dicom-web/studies", **headers: str) -> httpx.Response:
    """Store instances as one request."""
    return client.post(path, content=related(*contents), headers={**STORE, **headers})


def uid_of_film(film: bytes) -> str:
    return str(read(film).SOPInstanceUID)


def read(film: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(film))


def stored(answer: httpx.Response) -> list[str]:
    """Return the instance UIDs that an answer says are stored."""
    return [_value(item, "00081155") for item in _items(answer, "00081199")]


def failed(answer: httpx.Response) -> list[tuple[str, int]]:
    """Return the instance UIDs that an answer says have failed, each with its reason."""
    return [(_value(item, "00081155"), _value(item, "00081197")) for item in _items(answer, "00081198")]


def others(answer: httpx.Response) -> list[int]:
    """Return the reasons of what failed and could not be named."""
    return [_value(item, "00081197") for item in _items(answer, "0008119A")]


def _items(answer: httpx.Response, sequence: str) -> list[dict[str, Any]]:
    # Not by pydicom, which takes no UID that is none, and films with such are answered all the same.
    assert answer.headers["content-type"] == "application/dicom+json", answer.text
    items: list[dict[str, Any]] = answer.json().get(sequence, {"Value": []})["Value"]
    return items


def _value(item: dict[str, Any], tag: str) -> Any:
    (value,) = item[tag]["Value"]
    return value
