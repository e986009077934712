"""What the OpenAPI document says beyond the routes' own words: problems, and who may call what.

Credentials are described only where they are checked, so that the document of an open gateway is true, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from services.api.access.sessions import COOKIE
from services.api.problems import documented
from services.api.routes.session import sign_in
from services.api.schemas import Problem
from services.api.scopes import Role, required_roles

_SCHEMES: Final[dict[str, dict[str, str]]] = {
    "Bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "Basic": {"type": "http", "scheme": "basic", "description": "An API key as the password, with any user name."},
    "Session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "The page's; see /v1/session."},
}


def routes_of(routers: Iterable[APIRouter]) -> tuple[APIRoute, ...]:
    """Return the routes of these routers."""
    return tuple(route for router in routers for route in router.routes if isinstance(route, APIRoute))


def describe(app: FastAPI, routes: Sequence[APIRoute], *, has_keys: bool) -> Callable[[], dict[str, Any]]:
    """Return what makes the document of an app, once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = document.setdefault("components", {})
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            components.setdefault("schemas", {}).update(problem.pop("$defs", {}) | {"Problem": problem})
            if has_keys:
                components["securitySchemes"] = _SCHEMES
            _say_who_may(document["paths"], routes, has_keys=has_keys)
            app.openapi_schema = document
        return app.openapi_schema

    return openapi


def _say_who_may(paths: dict[str, Any], routes: Iterable[APIRoute], *, has_keys: bool) -> None:
    # An open gateway refuses other pages of its user's browser, and nobody else.
    refusals = (401, 403, 429) if has_keys else (403,)
    for operation, route in _operations(paths, routes):
        roles = required_roles(route.endpoint)
        if roles and has_keys:
            operation["x-required-roles"] = [role for role in Role if role in roles]
            operation["security"] = [{name: []} for name in _SCHEMES]
        # Signing in is open to all, and asks for a key all the same.
        if roles or route.endpoint is sign_in:
            for status, response in documented(*refusals).items():
                operation["responses"][str(status)] = response


def _operations(paths: dict[str, Any], routes: Iterable[APIRoute]) -> Iterator[tuple[dict[str, Any], APIRoute]]:
    for route in routes:
        for method in route.methods or ():
            operation = paths.get(route.path, {}).get(method.lower())
            if operation is not None:
                yield operation, route
