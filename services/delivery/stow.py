"""Objects to a DICOMweb server: one STOW-RS request for each film (PS3.18 10.5), judged by status and response module.

Knows neither records nor the outbox.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

import httpx

from services.delivery.errors import TargetsInvalid
from services.delivery.http import Reply, client_for, post, refusal_or_failure
from services.delivery.targets import StowTarget
from services.delivery.verdicts import PASSING_STATUSES, Delivered, Failed, Refused, Verdict

_FAILED_SOP_SEQUENCE: Final = "00081198"  # (0008,1198), PS3.18 Table I.1-1
_OTHER_FAILURES_SEQUENCE: Final = "0008119A"  # (0008,119A), for what could not be referenced
_FAILURE_REASON: Final = "00081197"  # (0008,1197)
# The target has the object already: PS3.7 Annex C's 0111H Duplicate SOP Instance, and 45070 of Azure's DICOM service.
_HAS_IT: Final = frozenset({0x0111, 45070})


class StowSender:
    """Sends the objects of one film in one request; a repeat carries the same UIDs and stores nothing twice.

    Raises
    ------
    TargetsInvalid
        If a credential or certificate of the target cannot be read.
    """

    def __init__(self, target: StowTarget, *, seconds: float, connections: int) -> None:
        self._address = f"{target.address}/studies"
        self._seconds = seconds
        self._client = client_for(
            target.tls, target=target.name, seconds=seconds, connections=connections, auth=_auth_of(target)
        )

    async def send(self, objects: Sequence[bytes]) -> Verdict:
        """Send Part 10 files; return what became of all of them together."""
        boundary = uuid.uuid4().hex
        headers = {
            "Accept": "application/dicom+json",
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        }
        reply = await post(
            self._client, self._address, content=multipart(objects, boundary), headers=headers, seconds=self._seconds
        )
        return reply if isinstance(reply, Failed) else verdict_of(reply)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def multipart(objects: Sequence[bytes], boundary: str) -> bytes:
    """Return a ``multipart/related`` body (RFC 2046 §5.1, PS3.18 8.6.1.2), one part for each object."""
    pieces: list[bytes] = []
    for content in objects:
        pieces += [f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii"), content, b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode("ascii")])


def verdict_of(reply: Reply) -> Verdict:
    """Return what Table 10.5.3-1's statuses and the response's failures mean.

    200 says that all are stored; 202 and 409 name what is not, each with its reason. Where a target refuses one object
    for good, all of its film are: a repeat would be refused again, and an operator has to look.
    """
    if reply.status not in {200, 202, 409}:
        return refusal_or_failure(reply)
    response = _json(reply.body)
    if response is None and reply.status == 200:
        # Some answer 200 without a body that we can read; that status alone says that all are stored. A page for people
        # is no DICOMweb server's: a portal that wants a password, or a wrong address, which somebody mends.
        is_page = reply.headers.get("content-type", "").lower().startswith("text/html")
        return Failed(reason="no_dicomweb_server") if is_page else Delivered()
    if response is None:
        return refusal_or_failure(reply)
    reasons = [reason for reason in _reasons(response) if reason not in _HAS_IT]
    final = [reason for reason in reasons if reason not in PASSING_STATUSES]
    if final:
        return Refused(reason=f"stow_{final[0]:04x}")
    if reasons:
        return Failed(reason=f"stow_{reasons[0]:04x}")
    is_stored = reply.status != 409 or any(_items(response, _FAILED_SOP_SEQUENCE))
    return Delivered() if is_stored else refusal_or_failure(reply)


def _reasons(response: dict[str, Any]) -> Iterator[int]:
    """Yield the failure reason of each object; 0 where none can be read, which is no passing one."""
    for sequence in (_FAILED_SOP_SEQUENCE, _OTHER_FAILURES_SEQUENCE):
        for item in _items(response, sequence):
            values = item.get(_FAILURE_REASON)
            value = values.get("Value") if isinstance(values, dict) else None
            code = value[0] if isinstance(value, list) and value else None
            yield code if isinstance(code, int) and 0 <= code <= 0xFFFF else 0


def _items(response: dict[str, Any], sequence: str) -> Iterator[dict[str, Any]]:
    element = response.get(sequence)
    items = element.get("Value") if isinstance(element, dict) else None
    for item in items if isinstance(items, list) else ():
        yield item if isinstance(item, dict) else {}


def _json(body: bytes | None) -> dict[str, Any] | None:
    """Return the response module, also where it is the only item of a list, as some servers have it."""
    try:
        found = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    return found if isinstance(found, dict) else None


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]  # no replies come back
        request.headers["Authorization"] = self._header
        yield request


def _auth_of(target: StowTarget) -> httpx.Auth | None:
    try:
        if target.user is not None and target.password is not None:
            return httpx.BasicAuth(target.user, target.password.read().get_secret_value())
        if target.token is not None:
            return _Bearer(target.token.read().get_secret_value())
    except ValueError as error:
        raise TargetsInvalid(f"target {target.name}: {error}") from None
    return None
