"""Closing a connection whose body nobody reads, without taking the answer from its sender.

A gateway that refuses an upload half-way and closes at once makes the sender's kernel throw the answer away (RFC 9112
§9.6). So the answer is sent whole, what still arrives is read and dropped for a moment, and only then the connection
ends. Without this, a refused sender that never stops would keep its connection for ever.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 64 * 1024 * 1024


class LingeringClose:
    """Wraps the application; touches only responses that begin before the request's body has ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        is_body_read = False
        is_cut_short = False

        async def receive_watched() -> Message:
            nonlocal is_body_read
            message = await receive()
            is_body_read = not message.get("more_body", False)
            return message

        async def send_lingering(message: Message) -> None:
            nonlocal is_cut_short
            if message["type"] == "http.response.start" and not is_body_read:
                is_cut_short = True
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            elif is_cut_short and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await _drop_rest(receive_watched)
                message = {"type": "http.response.body"}
            await send(message)

        async def _drop_rest(receive: Receive) -> None:
            dropped = 0
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    while not is_body_read and dropped < _LINGER_BYTES:
                        dropped += len((await receive()).get("body", b""))
            except TimeoutError:
                return

        await self._app(scope, receive_watched, send_lingering)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
