"""What both HTTP targets share: one client each, bounded replies, and the meaning of statuses that concern neither.

Redirects are not followed and no proxy is taken from the environment: a result goes to the operator's address or
nowhere. Knows neither DICOM nor webhooks.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx

from services.delivery.errors import TargetsInvalid
from services.delivery.targets import Tls
from services.delivery.verdicts import Failed, Refused

_MOST_REPLY_BYTES: Final = 1024**2
_USER_AGENT: Final = "cxr-triage"

# About this one object, whatever the target's state: a repeat would be refused again. All others may be a fault of the
# target or of its configuration (401, 403, 404, 405, 429, 5xx, redirects), which somebody mends.
_FINAL: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a target answered; ``body`` is ``None`` where it was longer than any reply of sense."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


def client_for(
    tls: Tls | None, *, target: str, seconds: float, connections: int, auth: httpx.Auth | None = None
) -> httpx.AsyncClient:
    """Return a client for one target; raise TargetsInvalid where its certificates cannot be read."""
    return httpx.AsyncClient(
        verify=tls_context(tls, target=target),
        auth=auth,
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(seconds),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        headers={"User-Agent": _USER_AGENT},
    )


def tls_context(tls: Tls | None, *, target: str) -> ssl.SSLContext:
    """Return what verifies a target's certificate and host name; raise TargetsInvalid where a file is unreadable."""
    try:
        context = ssl.create_default_context(cafile=None if tls is None else tls.ca_file)
        if tls is not None and tls.certificate_file is not None:
            context.load_cert_chain(tls.certificate_file, tls.key_file, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise TargetsInvalid(f"target {target}: tls: {error.strerror or 'a file that it names is no PEM'}") from None
    return context


async def post(
    client: httpx.AsyncClient, address: str, *, content: bytes, headers: Mapping[str, str], seconds: float
) -> Reply | Failed:
    """Send one request; return what was answered, or why there is no answer after ``seconds`` in all.

    The client's own timeouts begin anew with each byte, so that a target which answers a byte a minute passes them.
    """
    try:
        async with asyncio.timeout(seconds), client.stream("POST", address, content=content, headers=headers) as reply:
            body = await _bounded(reply)
            return Reply(status=reply.status_code, headers=reply.headers, body=body)
    except (TimeoutError, httpx.TimeoutException):
        return Failed(reason="timeout")
    except (httpx.TransportError, OSError) as error:
        # OSError: an alert after the handshake, as about our own certificate in TLS 1.3, comes as ssl's own error.
        return Failed(reason="tls" if _comes_of_tls(error) else "unreachable")
    except httpx.DecodingError:
        return Failed(reason="reply_unreadable")


def refusal_or_failure(reply: Reply) -> Refused | Failed:
    """Return what a status means that is no success."""
    if reply.status in _FINAL:
        return Refused(reason=f"http_{reply.status}")
    return Failed(reason=f"http_{reply.status}", wait_seconds=_retry_after(reply.headers))


def _comes_of_tls(error: BaseException | None) -> bool:
    """Return whether a certificate or a handshake is behind an error; httpx and httpcore each wrap it once more."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


async def _bounded(response: httpx.Response) -> bytes | None:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _MOST_REPLY_BYTES:
            return None
    return bytes(body)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds of RFC 9110 §10.2.3, a number or a date; 0 where there are none."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
