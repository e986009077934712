"""The short way of a poll: who has the worklist as it is now is told so before the application is asked.

A thousand dashboards ask every few seconds, and nearly all of them hear that nothing has changed. Routing, parameters
and dependencies cost several times what there is to find out. Says 304 or nothing: whatever is not beyond doubt - who
calls, what is asked for, whether that is the tag of now - goes the long way, to be answered, refused and noted there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias

from fastapi import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.access.guard import Guard
from services.api.conditional import is_known
from services.api.problems import refusal
from services.api.scopes import Caller, Role
from services.jobs.errors import QueueUnavailable

_TAG: Final = b"if-none-match"

# The tag that a query string's answer has now for a caller; ``None`` where only the route can tell.
TagNow: TypeAlias = Callable[[bytes, Caller], Awaitable[str | None]]


@dataclass(frozen=True, kw_only=True)
class PolledRoute:
    """A route that is polled: its path, of which no part is a parameter, and the roles of which one suffices."""

    path: str
    roles: frozenset[Role]
    tag_now: TagNow


class Unchanged:
    """Wraps the application, within what observes it; touches only polls of one route."""

    def __init__(self, app: ASGIApp, *, guard: Guard, route: PolledRoute) -> None:
        self._app = app
        self._guard = guard
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = await self._answer(scope) if self._is_poll(scope) else None
        await (self._app if answer is None else answer)(scope, receive, send)

    def _is_poll(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["path"] != self._route.path or scope["method"] != "GET":
            return False
        return _TAG in dict(scope["headers"])

    async def _answer(self, scope: Scope) -> Response | None:
        request = Request(scope)
        try:
            caller = await self._guard.admitted(request, *self._route.roles)
            if caller is None:
                return None
            request.state.caller = caller  # whose request it was, the log line says, also where Redis fails it
            tag = await self._route.tag_now(scope["query_string"], caller)
        except QueueUnavailable as error:
            # The long way would only wait for it once more.
            scope["route"], scope["state"]["problem_code"] = self._route, error.code
            return refusal(scope["state"]["request_id"], error)
        if tag is None or not is_known(tag, request):
            return None
        scope["route"] = self._route
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
