"""HTTP before the application: uvicorn's protocol, which bounds nothing by itself, with bounds and with our problems.

Cut off: headers that take too long, also those of a connection that sends nothing and of the second request on a kept
one; headers too large or too many, trailers and chunk extensions included; whatever is no clean HTTP/1.1; connections
beyond the limit; answers that nobody reads. Each refusal is a problem document, counted, and ends its connection.
Knows no routes. What a slow body may take is the business of ``uploads``: only it knows what a body is for.

Written against uvicorn's ``HttpToolsProtocol``: its callbacks of the parser, ``cycle``, ``pipeline`` and ``flow``
(docs/decisions/0015-http-edge.md). ``tests/integration/test_edge.py`` notices a version that moved them.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from services.api.errors import ApiError, ConnectionsBusy, HeadersTooLarge, HeaderTimeout, MalformedHttp
from services.api.heads import EdgeLimits, check_head, refusal_bytes
from services.api.lingering import LINGER_SECONDS
from services.api.metrics import GatewayMetrics


def edge_protocol(limits: EdgeLimits, metrics: GatewayMetrics) -> type[asyncio.Protocol]:
    """Return what uvicorn's ``http`` option takes."""
    # Uvicorn says that it wants a class, and calls it once a connection.
    return cast(type[asyncio.Protocol], partial(EdgeProtocol, limits=limits, metrics=metrics))


class EdgeProtocol(HttpToolsProtocol):
    """One connection.

    The parser is always either between requests, in a head (request line and headers), or in a body.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: EdgeLimits,
        metrics: GatewayMetrics,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._metrics = metrics
        self._is_in_head = self._is_in_body = self._has_progress = False
        self._fields = 0
        # Bytes of the head so far, or of a body's framing since its last own byte.
        self._overhead_bytes = 0
        self._fault: ApiError | None = None  # why a callback stopped the parser
        self._refusal: ApiError | None = None  # to be answered once earlier requests are; nothing is read any more
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None

    # -- the connection ------------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin; one connection too many is told so and ends."""
        super().connection_made(transport)
        self._start_head_timer()
        if len(self.connections) > self._limits.connections:
            self._refuse(ConnectionsBusy())

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers, too."""
        for timer in (self._head_timer, self._write_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; whatever is wrong with it ends the connection."""
        if self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        self._has_progress = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Not ours to take; the answer is HTTP/1.1, and what follows on this connection may be another protocol.
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self._refuse(self._fault or MalformedHttp())
            return
        self._bound_overhead(len(data))
        # A head that came in one piece needs no timer. What is before its first byte does, as empty lines are.
        if self._is_in_head or self._is_idle():
            self._start_head_timer()

    def pause_writing(self) -> None:
        """Note that the client reads slowly; too slowly ends the connection."""
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        super().resume_writing()
        self._stop_write_timer()

    # -- callbacks of the parser ---------------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._is_in_head = True
        self._fields = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is dropped, or it would pass for a header that came with the request."""
        self._fields += 1
        if self._fields > self._limits.header_fields:
            raise self._stop(HeadersTooLarge())
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the whole head, then hand the request on."""
        self._stop_head_timer()
        try:
            if len(self.pipeline) >= self._limits.pipelined_requests:
                raise ConnectionsBusy()
            check_head(self.parser, self.url, self.headers, self._limits)
        except ApiError as fault:
            raise self._stop(fault) from None
        super().on_headers_complete()
        self._is_in_head, self._is_in_body = False, True
        self._has_progress = True
        self._fields = 0

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._has_progress = True
        waiting: bytes | bytearray = self.cycle.body
        if not waiting:
            # Bytes are handed on as they are; uvicorn's bytearray would take a copy of them, to be copied once more.
            self.cycle.body = b""  # type: ignore[assignment]  # += and bytes() are all that is done with it
        elif isinstance(waiting, bytes):
            # Many chunks in one read: added to bytes, each would cost a copy of all before it.
            self.cycle.body = bytearray(waiting)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._is_in_body = False
        self._has_progress = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or end with the refusal of what came after the last one that was whole."""
        if self.transport.get_write_buffer_size():
            self._start_write_timer()
        if self._refusal is None or self.pipeline or self.transport.is_closing():
            super().on_response_complete()
        else:
            self._answer(self._refusal)

    # -- checks --------------------------------------------------------------------------------------------------------
    def _is_idle(self) -> bool:
        return not self._is_in_body and (self.cycle is None or self.cycle.response_complete)

    def _stop(self, fault: ApiError) -> ApiError:
        """Note why the parser stops: it tells only that a callback failed."""
        self._fault = fault
        return fault

    def _bound_overhead(self, arrived_bytes: int) -> None:
        self._overhead_bytes = 0 if self._has_progress else self._overhead_bytes + arrived_bytes
        if self._overhead_bytes > self._limits.header_bytes and (self._is_in_body or self._is_in_head):
            self._refuse(HeadersTooLarge())

    # -- ends ----------------------------------------------------------------------------------------------------------
    def _refuse(self, error: ApiError) -> None:
        """Read no more, and say why; after the answers to what came before, or in place of this request's own."""
        self._refusal = error
        self._stop_head_timer()
        self._metrics.rejections.labels(error.code).inc()
        current = self.cycle
        if current is None or current.response_complete:
            self._answer(error)
        elif self._is_in_body and self.pipeline:
            self.pipeline.popleft()  # the broken request itself: it waited, and nobody has seen it
        elif self._is_in_body:
            has_begun = current.response_started
            current.disconnected = True
            current.message_event.set()
            self._end() if has_begun else self._answer(error)

    def _answer(self, error: ApiError) -> None:
        self.transport.write(refusal_bytes(error, self.server_state.default_headers))
        self._end()

    def _end(self) -> None:
        """Close our side, drop what still arrives, then close: at once, and the answer could be lost (`lingering`)."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    # -- timers --------------------------------------------------------------------------------------------------------
    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.header_seconds, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if self._refusal is None and not self.transport.is_closing():
            self._refuse(HeaderTimeout())

    def _start_write_timer(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self._limits.write_seconds, self._answer_is_unread)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _answer_is_unread(self) -> None:
        self._write_timer = None
        if self.transport.get_write_buffer_size():
            self._metrics.connections_cut.inc()
            self.transport.abort()
