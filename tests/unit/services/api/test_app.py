import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from services.api.access import new_key
from services.api.app import create_app
from services.jobs.settings import ApiSettings, RedisSettings, SettingsError, SpoolSettings

OPEN = {"/health/live", "/health/ready"}


def build(tmp_path: Path, **api: object) -> FastAPI:
    spool = SpoolSettings(directory=tmp_path / "spool")
    return create_app(api=ApiSettings.model_validate(api), redis=RedisSettings(), spool=spool)


@pytest.fixture
def guarded(tmp_path: Path) -> FastAPI:
    keys_file = tmp_path / "keys.json"
    new_key(keys_file)
    return build(tmp_path, host="0.0.0.0", keys_file=keys_file)


def operations(app: FastAPI) -> dict[tuple[str, str], dict]:  # type: ignore[type-arg]  # an OpenAPI document
    return {
        (path, method): operation for path, item in app.openapi()["paths"].items() for method, operation in item.items()
    }


async def test_every_route_but_the_probes_refuses_a_caller_without_a_key(guarded: FastAPI) -> None:
    # No Redis is there: a route that let the caller past would answer something else, if anything.
    transport = httpx.ASGITransport(guarded, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        for (path, method), operation in operations(guarded).items():
            if path in OPEN:
                continue
            response = await client.request(method, re.sub(r"{\w+}", "0" * 32, path))
            assert response.status_code == 401, f"{method} {path}"
            assert response.json()["code"] == "unauthenticated"
            assert operation["responses"]["401"]["content"].keys() == {"application/problem+json"}


def test_every_route_but_the_probes_declares_that_it_requires_a_key(guarded: FastAPI) -> None:
    for (path, _), operation in operations(guarded).items():
        assert ("401" in operation["responses"]) is (path not in OPEN), path
        assert ("security" in operation) is (path not in OPEN), path


def test_open_gateway_declares_no_credential_that_it_would_not_check(tmp_path: Path) -> None:
    for operation in operations(build(tmp_path)).values():
        assert "security" not in operation
        assert "401" not in operation["responses"]


def test_gateway_that_others_can_reach_does_not_start_without_keys(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        build(tmp_path, host="0.0.0.0")


def test_every_declared_error_is_a_problem_document(guarded: FastAPI) -> None:
    for operation in operations(guarded).values():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]


def test_document_promises_that_every_record_names_its_pictures(guarded: FastAPI) -> None:
    assert set(guarded.openapi()["components"]["schemas"]["Links"]["required"]) == {
        "self",
        "study",
        "preview",
        "heatmap",
    }


def test_document_is_valid_and_names_each_operation_once(guarded: FastAPI) -> None:
    ids = [operation["operationId"] for operation in operations(guarded).values()]
    assert len(set(ids)) == len(ids)
    assert "HTTPValidationError" not in guarded.openapi()["components"]["schemas"]
