"""The keys as they are now: what opens, what does not, and what a changed or broken file does to them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import threading
from pathlib import Path

import pytest

from services.api.access.credentials import credential_in
from services.api.access.key_ring import KeyRing, key_ring
from services.api.access.keys_file import revoke_key
from services.api.scopes import Role
from services.jobs.settings import SettingsError, is_loopback
from tests.support.access import id_of, make_key


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def opened_by(ring: KeyRing, authorization: str) -> str | None:
    key = ring.identify(credential_in(authorization))
    return None if key is None or ring.find(key.id) is None else key.id


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_key_opens_as_bearer_and_as_password_of_basic(keys_file: Path) -> None:
    key = make_key(keys_file)
    ring = KeyRing(keys_file)
    assert opened_by(ring, f"Bearer {key}") == opened_by(ring, basic("pacs", key)) == id_of(key)
    assert opened_by(ring, f"bearer  {key} "), "schemes are case-insensitive (RFC 9110 §11.1)"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer cxr_", "Token x", "Basic !!!", "Basic /w==", basic("admin", "admin"), "Bearer äöü"],
)
def test_everything_else_opens_nothing(keys_file: Path, authorization: str) -> None:
    make_key(keys_file)
    assert opened_by(KeyRing(keys_file), authorization) is None


def test_known_id_with_another_secret_opens_nothing(keys_file: Path) -> None:
    key = make_key(keys_file)
    forged = key[:-1] + ("A" if key[-1] != "A" else "B")
    assert opened_by(KeyRing(keys_file), f"Bearer {forged}") is None


def test_id_that_is_not_known_opens_nothing_even_with_the_digest_that_stands_for_nobody(keys_file: Path) -> None:
    make_key(keys_file)
    assert opened_by(KeyRing(keys_file), "Bearer cxr_0123456789ab_" + "s" * 43) is None


def test_secret_is_in_no_text_that_a_log_could_hold(keys_file: Path) -> None:
    key = make_key(keys_file)
    assert key.split("_", 2)[2] not in repr(credential_in(f"Bearer {key}"))


def test_expired_and_revoked_keys_are_known_and_open_nothing(keys_file: Path) -> None:
    make_key(keys_file)
    expired, revoked = make_key(keys_file, expires_days=1, age_days=2), make_key(keys_file)
    revoke_key(keys_file, id_of(revoked))
    ring = KeyRing(keys_file)
    for key in (expired, revoked):
        assert ring.identify(credential_in(f"Bearer {key}")) is not None
        assert opened_by(ring, f"Bearer {key}") is None


def test_changed_file_counts_at_the_next_look(keys_file: Path) -> None:
    first = make_key(keys_file)
    ring = KeyRing(keys_file)
    second = make_key(keys_file)
    revoke_key(keys_file, id_of(first))
    asyncio.run(ring.look())
    assert opened_by(ring, f"Bearer {first}") is None
    assert opened_by(ring, f"Bearer {second}") == id_of(second)
    assert ring.state().valid == 1


@pytest.mark.parametrize("fault", ["broken", "cut", "gone", "a directory", "a pipe", "of another kind"])
def test_file_that_cannot_be_read_changes_nothing_and_is_told_once(
    keys_file: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = make_key(keys_file)
    good = keys_file.read_bytes()
    ring = KeyRing(keys_file)
    if fault in ("gone", "a directory", "a pipe"):
        keys_file.unlink()
    if fault == "a pipe":
        os.mkfifo(keys_file)
    if fault == "a directory":
        keys_file.mkdir()
    if fault in ("broken", "cut", "of another kind"):
        keys_file.write_bytes({"broken": b"\xff", "cut": good[: len(good) // 2]}.get(fault, b'{"a": 1}'))
    with caplog.at_level(logging.ERROR):
        asyncio.run(ring.look())
        asyncio.run(ring.look())
    assert opened_by(ring, f"Bearer {key}") == id_of(key)
    assert opened_by(ring, "Bearer cxr_0123456789ab_" + "s" * 43) is None
    assert not ring.state().is_file_good
    assert [record.action for record in caplog.records] == ["keys_file_bad"]  # type: ignore[attr-defined]


def test_file_that_is_good_again_counts_again(keys_file: Path) -> None:
    make_key(keys_file)
    good = keys_file.read_bytes()
    ring = KeyRing(keys_file)
    keys_file.write_text("broken")
    asyncio.run(ring.look())
    keys_file.write_bytes(good)
    second = make_key(keys_file)
    asyncio.run(ring.look())
    assert ring.state().is_file_good
    assert opened_by(ring, f"Bearer {second}") == id_of(second)


async def test_disk_that_hangs_is_told_of_keeps_one_thread_and_counts_again_when_it_answers(keys_file: Path) -> None:
    make_key(keys_file)
    answers, readers = threading.Event(), 0

    def read(path: Path) -> bytes:
        nonlocal readers
        readers += 1
        answers.wait()
        return path.read_bytes()

    ring = KeyRing(keys_file, read=read, patience_seconds=0.01)
    await ring.look()
    await ring.look()
    assert (ring.state().is_file_good, readers) == (False, 1)
    second = make_key(keys_file)
    answers.set()
    async with asyncio.timeout(60):
        while not ring.state().is_file_good:
            await ring.look()
    assert opened_by(ring, f"Bearer {second}") == id_of(second)


def test_last_key_that_ends_is_told_loudly(keys_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = make_key(keys_file)
    ring = KeyRing(keys_file)
    revoke_key(keys_file, id_of(key))
    with caplog.at_level(logging.ERROR):
        asyncio.run(ring.look())
        asyncio.run(ring.look())
    assert [record.action for record in caplog.records] == ["keys_none_valid"]  # type: ignore[attr-defined]
    assert ring.state().valid == 0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": []}', '{"version": 2, "keys": []}'])
def test_unusable_file_stops_the_gateway(keys_file: Path, content: str) -> None:
    keys_file.write_text(content)
    with pytest.raises(SettingsError):
        key_ring("127.0.0.1", keys_file)


def test_missing_file_stops_the_gateway(keys_file: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        key_ring("127.0.0.1", keys_file)


def test_file_whose_keys_have_all_ended_stops_the_gateway_because_nobody_could_get_in(keys_file: Path) -> None:
    make_key(keys_file, expires_days=1, age_days=2)
    revoke_key(keys_file, id_of(make_key(keys_file)))
    with pytest.raises(SettingsError, match="nobody could get in"):
        key_ring("127.0.0.1", keys_file)


def test_state_names_the_first_expiry_of_those_that_open(keys_file: Path) -> None:
    make_key(keys_file, Role.READ, expires_days=1, age_days=2)
    make_key(keys_file, Role.READ, expires_days=30)
    make_key(keys_file, Role.READ, expires_days=20)
    state = KeyRing(keys_file).state()
    stored = json.loads(keys_file.read_text())["keys"]
    assert state.valid == 2
    assert state.first_expiry is not None
    assert state.first_expiry.strftime("%Y-%m-%dT%H:%M:%SZ") == stored[2]["expires_at"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_without_keys_is_open(host: str) -> None:
    assert is_loopback(host)
    assert key_ring(host, None) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.example"])
def test_any_other_address_without_keys_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="CXR_API_KEYS_FILE"):
        key_ring(host, None)
