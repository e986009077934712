"""What the head of a request (request line and headers) may be, and how one that is none of these is answered.

Knows no connection; ``edge`` parses and times.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from services.api.errors import ApiError, HeadersTooLarge, MalformedHttp
from services.api.observation import with_default_headers
from services.api.problems import refusal

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, kw_only=True)
class EdgeLimits:
    """What a connection may take.

    Attributes
    ----------
    header_seconds
        From a connection's start, or a later request's first byte, to the end of the headers.
    header_bytes, header_fields
        Of one request: request line and headers, or trailers and chunk extensions between two bytes of the body.
    write_seconds
        For how long the client may leave unread what does not fit into the kernel's buffers.
    connections
        Open at once.
    pipelined_requests
        Sent on one connection before the answer to the first; each costs memory while it waits.
    """

    header_seconds: float
    header_bytes: int = 32 * 1024
    header_fields: int = 100
    write_seconds: float = 30.0
    connections: int = 4096
    pipelined_requests: int = 16


def check_head(parser: httptools.HttpRequestParser, url: bytes, headers: Headers, limits: EdgeLimits) -> None:
    """Refuse what is too large, or what two parties could read differently: such requests are smuggled in others.

    The parser itself has refused repeated, wrong and contradicting lengths by now (RFC 9112 §6.3).

    Raises
    ------
    HeadersTooLarge, MalformedHttp
        RFC 9112 §3.2 for Host, §6.1 for Transfer-Encoding.
    """
    if len(url) + sum(len(name) + len(value) for name, value in headers) > limits.header_bytes:
        raise HeadersTooLarge
    version = parser.get_http_version()
    hosts = sum(name == b"host" for name, _ in headers)
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if version == "1.1":
        is_clear = hosts == 1 and codings in ([], [b"chunked"])
    else:
        is_clear = version == "1.0" and hosts <= 1 and not codings
    has_body = bool(codings) or any(name == b"content-length" and value.strip(b"0") for name, value in headers)
    # The parser skips the body of a request that asks for an upgrade, and would read it as the next request.
    if not is_clear or (has_body and parser.should_upgrade()):
        raise MalformedHttp


def refusal_bytes(error: ApiError, server_headers: Headers) -> bytes:
    """Return the whole answer to a request that no route will see."""
    response = refusal(uuid.uuid4(), error)
    headers = [*server_headers, *with_default_headers(response.raw_headers), (b"connection", b"close")]
    lines = [name + b": " + value + b"\r\n" for name, value in headers]
    return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)])
