"""The keys file: what it holds, what it never holds, and what becomes of it under two hands at once."""

from __future__ import annotations

import json
import multiprocessing
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.api.access.keys_file import LONGEST_DAYS, Grant, add_key, read_keys, revoke_key
from services.api.scopes import Role
from services.jobs.settings import SettingsError
from tests.support.access import id_of, make_key

OLD_KEY = {"id": "0123456789ab", "sha256": "0" * 64, "created_at": "2026-11-20T10:00:00Z"}


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_file_holds_no_secret_and_only_its_owner_may_read_it(keys_file: Path) -> None:
    key = make_key(keys_file)
    assert key.split("_", 2)[2] not in keys_file.read_text()
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600


def test_key_has_what_it_was_granted_and_nothing_else(keys_file: Path) -> None:
    make_key(keys_file, Role.READ, Role.SUBMIT, sites=["north", "icu"], label="PACS 2", expires_days=30)
    (key,) = read_keys(keys_file)
    assert (key.roles, key.sites, key.label) == ((Role.SUBMIT, Role.READ), ("icu", "north"), "PACS 2")
    assert key.expires_at == key.created_at + timedelta(days=30)


def test_key_ends_after_a_year_at_the_latest(keys_file: Path) -> None:
    make_key(keys_file)
    (key,) = read_keys(keys_file)
    assert key.expires_at == key.created_at + timedelta(days=LONGEST_DAYS)
    with pytest.raises(SettingsError, match="365 days"):
        make_key(keys_file, expires_days=366)
    stored = json.loads(keys_file.read_text())
    stored["keys"][0]["expires_at"] = "2999-01-01T00:00:00Z"
    keys_file.write_text(json.dumps(stored))
    with pytest.raises(SettingsError, match="no keys file"):
        read_keys(keys_file)


@pytest.mark.parametrize("grant", [{"sites": ("ICU",)}, {"label": "Müller"}, {"label": "a" * 41}, {"label": ""}])
def test_grant_that_is_none_makes_no_key(keys_file: Path, grant: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        add_key(keys_file, Grant(roles=(Role.READ,), **grant))  # type: ignore[arg-type]  # that is the point
    assert not keys_file.exists()


def test_key_without_a_role_is_none(keys_file: Path) -> None:
    with pytest.raises(SettingsError, match="roles"):
        add_key(keys_file, Grant(roles=()))


def test_file_of_version_0_1_0_keeps_working(keys_file: Path) -> None:
    keys_file.write_text(json.dumps({"keys": [OLD_KEY]}))
    (key,) = read_keys(keys_file)
    assert key.roles == (Role.SUBMIT, Role.READ, Role.METRICS)
    assert (key.sites, key.expires_at) == (None, None)
    assert key.is_valid(datetime.now(UTC) + timedelta(days=10_000))


def test_old_keys_stay_when_a_new_one_is_added_to_their_file(keys_file: Path) -> None:
    keys_file.write_text(json.dumps({"keys": [OLD_KEY]}))
    added = make_key(keys_file, Role.READ)
    old, new = read_keys(keys_file)
    assert (old.id, new.id) == (OLD_KEY["id"], id_of(added))
    assert old.expires_at is None
    assert json.loads(keys_file.read_text())["version"] == 2


def test_revoked_key_stays_in_the_file_with_its_time(keys_file: Path) -> None:
    first, second = make_key(keys_file), make_key(keys_file)
    revoked = revoke_key(keys_file, id_of(first))
    assert revoked.revoked_at is not None
    assert [key.state(datetime.now(UTC)) for key in read_keys(keys_file)] == ["revoked", "valid"]
    assert revoke_key(keys_file, id_of(first)) == revoked, "again changes nothing"
    assert read_keys(keys_file)[1].id == id_of(second)


def test_key_that_is_not_there_cannot_be_revoked(keys_file: Path) -> None:
    make_key(keys_file)
    with pytest.raises(SettingsError, match="no key of this id"):
        revoke_key(keys_file, "0" * 12)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"keys": [{"id": "x"}]}',
        '{"version": 3, "keys": []}',
        '{"version": 2, "keys": [], "more": 1}',
        json.dumps({"keys": [OLD_KEY, OLD_KEY], "version": 2}),
        "\xff",
        "[" * 100_000,
    ],
    ids=str.__len__,
)
def test_what_is_no_keys_file_is_said_and_left_alone(keys_file: Path, content: str) -> None:
    keys_file.write_text(content)
    with pytest.raises(SettingsError, match="no keys file"):
        read_keys(keys_file)
    with pytest.raises(SettingsError):
        make_key(keys_file)
    assert keys_file.read_text() == content


def test_who_could_read_the_file_can_after_a_change(keys_file: Path) -> None:
    make_key(keys_file)
    keys_file.chmod(0o640)
    make_key(keys_file)
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o640


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "absent"
    with pytest.raises(SettingsError, match="cannot write"):
        make_key(folder / "keys.json")
    assert not folder.exists()


def _add_keys(path: Path, count: int) -> None:
    for _ in range(count):
        make_key(path)


def test_commands_at_once_lose_no_key(keys_file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    commands = [context.Process(target=_add_keys, args=(keys_file, 10)) for _ in range(3)]
    for command in commands:
        command.start()
    for command in commands:
        command.join(200)
        assert command.exitcode == 0
    assert len({key.id for key in read_keys(keys_file)}) == 30
    assert sorted(path.name for path in keys_file.parent.iterdir()) == [".keys.json.lock", "keys.json"]
