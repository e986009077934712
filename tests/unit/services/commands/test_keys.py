"""``cxr-triage key`` as an operator types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import app
from services.jobs.errors import JobsError


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No audit trail of whoever runs the tests is written into."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CXR_AUDIT_DIRECTORY", raising=False)


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, ["key", *arguments], env=environment, catch_exceptions=True)


def new(*options: str, **environment: str) -> str:
    answer = run("new", "--file", "keys.json", "--role", "read", *options, **environment)
    assert answer.exit_code == 0, answer.output
    return answer.stdout.strip()


def audit_entries(directory: Path) -> list[dict[str, object]]:
    lines = [line for file in directory.iterdir() for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_list_shows_everything_but_secrets_and_hashes(tmp_path: Path) -> None:
    key = new("--site", "icu", "--label", "Ward 3", "--expires-days", "30")
    answer = run("list", "--file", "keys.json")
    stored = json.loads((tmp_path / "keys.json").read_text())["keys"][0]
    for shown in (key.split("_")[1], "valid", "read", "icu", "Ward 3", stored["expires_at"][:10]):
        assert shown in answer.stdout
    assert key.split("_", 2)[2] not in answer.output
    assert stored["sha256"] not in answer.output


def test_revoked_key_is_listed_as_such() -> None:
    key_id = new().split("_")[1]
    assert run("revoke", key_id, "--file", "keys.json").exit_code == 0
    assert "revoked" in run("list", "--file", "keys.json").stdout


def test_unknown_key_cannot_be_revoked() -> None:
    new()
    assert isinstance(run("revoke", "0" * 12, "--file", "keys.json").exception, JobsError)


def test_file_may_come_from_the_gateways_own_variable(tmp_path: Path) -> None:
    answer = run("new", "--role", "submit", CXR_API_KEYS_FILE=str(tmp_path / "other.json"))
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "other.json").exists()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--role", "owner"),
        ("--role", "read", "--site", "No Site"),
        ("--role", "read", "--label", "Zoë"),
        ("--role", "read", "--expires-days", "366"),
        ("--role", "read", "--expires-days", "0"),
    ],
)
def test_wrong_option_makes_no_key(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert run("new", "--file", "keys.json", *options).exit_code == 2
    assert not (tmp_path / "keys.json").exists()


def test_changes_are_in_the_audit_trail_where_there_is_one(tmp_path: Path) -> None:
    trail = {"CXR_AUDIT_DIRECTORY": str(tmp_path / "audit")}
    key = new(**trail)
    key_id = key.split("_")[1]
    run("revoke", key_id, "--file", "keys.json", **trail)
    noted = [(entry["event"], entry.get("who")) for entry in audit_entries(tmp_path / "audit")]
    assert ("key_created", key_id) in noted
    assert ("key_revoked", key_id) in noted
    assert key.split("_", 2)[2] not in str(audit_entries(tmp_path / "audit"))


def test_change_that_no_trail_has_is_said(tmp_path: Path) -> None:
    answer = run("new", "--file", "keys.json", "--role", "read")
    assert "no audit trail here" in answer.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [".keys.json.lock", "keys.json"]
