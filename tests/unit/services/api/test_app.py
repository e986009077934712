from pathlib import Path

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


def test_every_route_but_the_probes_requires_a_key(guarded: FastAPI) -> None:
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


def test_document_is_valid_and_names_each_operation_once(guarded: FastAPI) -> None:
    ids = [operation["operationId"] for operation in operations(guarded).values()]
    assert len(set(ids)) == len(ids)
    assert "HTTPValidationError" not in guarded.openapi()["components"]["schemas"]
