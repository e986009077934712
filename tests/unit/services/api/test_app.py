import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from services.api.app import create_app
from services.api.scopes import Role, required_roles
from services.jobs.settings import (
    ApiSettings,
    AuditSettings,
    QueueSettings,
    RedisSettings,
    SettingsError,
    SpoolSettings,
)
from tests.support.access import bearer, make_key

OPEN = {"/health/live", "/health/ready"}
SIGN_IN = ("/v1/session", "post")


def build(tmp_path: Path, **api: object) -> FastAPI:
    spool = SpoolSettings(directory=tmp_path / "spool")
    return create_app(
        api=ApiSettings.model_validate(api),
        redis=RedisSettings(),
        spool=spool,
        audit=AuditSettings(directory=tmp_path / "audit"),
        films=QueueSettings(),
    )


def asking(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


@pytest.fixture
def guarded(tmp_path: Path) -> FastAPI:
    keys_file = tmp_path / "keys.json"
    make_key(keys_file)
    return build(tmp_path, host="0.0.0.0", keys_file=keys_file)


def operations(app: FastAPI) -> dict[tuple[str, str], dict]:  # type: ignore[type-arg]  # an OpenAPI document
    return {
        (path, method): operation for path, item in app.openapi()["paths"].items() for method, operation in item.items()
    }


def test_every_route_declares_who_may_call_it(guarded: FastAPI) -> None:
    routes = list(iter_route_contexts(guarded.routes))
    assert len(routes) > 15
    for route in routes:
        # What FastAPI or Starlette add by themselves does not pass the guard; so there must be none of it.
        assert isinstance(route.original_route, APIRoute), route.path
        assert required_roles(route.original_route.endpoint) is not None, route.path


async def test_route_that_declares_nothing_is_refused_to_everybody(tmp_path: Path) -> None:
    admin = make_key(tmp_path / "keys.json", Role.ADMIN)
    for app, headers in ((build(tmp_path), {}), (build(tmp_path, keys_file=tmp_path / "keys.json"), bearer(admin))):

        async def forgotten() -> str:
            return "somebody's film"

        app.add_api_route("/forgotten", forgotten)
        async with asking(app) as client:
            response = await client.get("/forgotten", headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_every_route_that_is_not_open_refuses_a_caller_without_a_key(guarded: FastAPI) -> None:
    # No Redis is there: a route that let the caller past would answer something else, if anything.
    async with asking(guarded) as client:
        for (path, method), operation in operations(guarded).items():
            if path in OPEN or (path, method) == SIGN_IN:
                continue
            response = await client.request(method, re.sub(r"{\w+}", "0" * 32, path))
            assert response.status_code == 401, f"{method} {path}"
            assert response.json()["code"] == "unauthenticated"
            assert operation["responses"]["401"]["content"].keys() == {"application/problem+json"}


async def test_refused_method_hears_of_every_one_that_the_path_takes(guarded: FastAPI) -> None:
    async with asking(guarded) as client:
        response = await client.options("/v1/session")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, POST")


def test_document_says_which_roles_each_route_takes_and_what_it_answers_others(guarded: FastAPI) -> None:
    for (path, method), operation in operations(guarded).items():
        is_open = path in OPEN or (path, method) == SIGN_IN
        assert ("x-required-roles" in operation) is not is_open, path
        assert ("security" in operation) is not is_open, path
        assert {"401", "403", "429"} <= set(operation["responses"]) or path in OPEN
    assert operations(guarded)["/v1/instances", "post"]["x-required-roles"] == ["submit"]
    assert operations(guarded)["/v1/instances/{instance_id}", "get"]["x-required-roles"] == ["submit", "read"]
    assert operations(guarded)["/metrics", "get"]["x-required-roles"] == ["metrics"]
    assert set(guarded.openapi()["components"]["securitySchemes"]) == {"Bearer", "Basic", "Session"}


async def test_open_gateway_serves_this_machine_and_no_page_of_the_internet(tmp_path: Path) -> None:
    page = {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"}
    async with asking(build(tmp_path)) as client:
        for host in (
            "127.0.0.1:8080",
            "127.1",
            "localhost:8080",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:8080",
            "gateway",
            "a.localhost",
        ):
            assert (await client.get("/v1/session", headers={"Host": host})).status_code == 200, host
        for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "evil.example.", "evil.example:"):
            refused = await client.get("/v1/session", headers={"Host": host})
            assert (refused.status_code, refused.json()["code"]) == (403, "foreign_origin"), host
        ours = await client.delete("/v1/session", headers={"Host": "localhost:8080", **page})
        assert ours.status_code == 204
        for foreign in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            refused = await client.post("/v1/instances", headers={"Host": "localhost:8080", **foreign})
            assert (refused.status_code, refused.json()["code"]) == (403, "foreign_origin")


async def test_query_with_thousands_of_faults_is_answered_with_the_first_few(tmp_path: Path) -> None:
    async with asking(build(tmp_path)) as client:
        query = {f"a{number}": "1" for number in range(2000)}
        answer = await client.get("/v1/studies", params=query, headers={"Host": "localhost"})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 16)


def test_open_gateway_declares_no_credential_that_it_would_not_check(tmp_path: Path) -> None:
    app = build(tmp_path)
    for operation in operations(app).values():
        assert "security" not in operation
        assert "x-required-roles" not in operation
        assert "401" not in operation["responses"]
    assert "securitySchemes" not in app.openapi()["components"]


def test_gateway_that_others_can_reach_does_not_start_without_keys(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        build(tmp_path, host="0.0.0.0")


def test_every_declared_error_is_a_problem_document(guarded: FastAPI) -> None:
    for (path, _), operation in operations(guarded).items():
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            # STOW-RS says of each instance why it failed, where there are instances.
            if path.startswith("/dicom-web/") and status in ("409", "503"):
                assert "application/dicom+json" in response["content"]
            else:
                assert list(response["content"]) == ["application/problem+json"]


def test_document_promises_that_every_record_names_its_pictures_and_results(guarded: FastAPI) -> None:
    assert set(guarded.openapi()["components"]["schemas"]["Links"]["required"]) == {
        "self",
        "study",
        "preview",
        "heatmap",
        "report",
        "overlay",
    }


def test_document_is_valid_and_names_each_operation_once(guarded: FastAPI) -> None:
    ids = [operation["operationId"] for operation in operations(guarded).values()]
    assert len(set(ids)) == len(ids)
    assert "HTTPValidationError" not in guarded.openapi()["components"]["schemas"]
