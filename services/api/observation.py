"""The outermost layer of every request: its id, its log line, its duration, and the guard behind all others.

Pure ASGI, so that bodies stream through untouched. Logs route templates and codes; never a path, a query or a body.
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.metrics import GatewayMetrics
from services.api.problems import INTERNAL_ERROR, problem_response
from services.api.scopes import Caller

logger = logging.getLogger(__name__)

UNMATCHED: Final = "unmatched"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Probes and scrapes come every few seconds for ever; their metrics are enough.
_UNLOGGED_ROUTES: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
# Lasts as long as its listener likes, which is nobody's duration.
_ENDLESS_ROUTES: Final = frozenset({"/v1/events"})
_NOT_MODIFIED: Final = 304
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # An open gateway's pictures are for its own page only: another one must not learn even that a film is here.
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
)
_DEFAULT_CACHE_CONTROL: Final = (b"cache-control", b"private, no-cache")


class Observation:
    """Wraps the application; nothing is outside it but the server."""

    def __init__(self, app: ASGIApp, *, metrics: GatewayMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and answer 500 where everything else failed to answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        scope.setdefault("state", {})["request_id"] = uuid.uuid4()

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = with_default_headers(list(message.get("headers", [])))
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except Exception as error:
            logger.error("request failed", exc_info=error, extra={"action": "request_failed", **_identity(scope)})
            if status:
                raise  # the response has begun: the server must cut the connection, or the caller takes it for whole
            detail = "The service failed at this request; its operator finds it in the log under `instance`."
            await problem_response(scope, 500, INTERNAL_ERROR, detail)(scope, receive, send_observed)
        finally:
            self._observe(scope, status, time.perf_counter() - started)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        code = scope["state"].get("problem_code")
        if code is not None:
            self._metrics.rejections.labels(code).inc()
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _route(scope)
        if route not in _ENDLESS_ROUTES or code is not None:
            self._metrics.observe_request(method, route, status, seconds)
        # What has not changed since a dashboard asked last is told a thousand times, and is worth no line.
        if route not in _UNLOGGED_ROUTES and status != _NOT_MODIFIED:
            caller: Caller | None = scope["state"].get("caller")
            key_id = None if caller is None else caller.key_id
            fields = {"status": status, "duration_ms": round(seconds * 1000, 1), "code": code, "key_id": key_id}
            logger.info("request served", extra={"action": "request_served", **_identity(scope), **fields})


def _identity(scope: Scope) -> dict[str, str]:
    return {"request_id": str(scope["state"]["request_id"]), "method": scope["method"], "route": _route(scope)}


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", UNMATCHED)


def with_default_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer and those that every answer has; a route's own win."""
    present = {name.lower() for name, _ in headers}
    return headers + [header for header in (*_HEADERS, _DEFAULT_CACHE_CONTROL) if header[0] not in present]
