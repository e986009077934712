import base64
import json
import stat
from pathlib import Path

import pytest

from services.api.access import KeyRing, is_loopback, key_ring, new_key, read_keys
from services.api.errors import Unauthenticated
from services.jobs.settings import SettingsError


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_new_key_opens_as_bearer_and_as_password_of_basic(keys_file: Path) -> None:
    key = new_key(keys_file)
    ring = KeyRing(read_keys(keys_file))
    assert ring.authenticate(f"Bearer {key}") == ring.authenticate(basic("pacs", key)) == key.split("_")[1]
    assert ring.authenticate(f"bearer {key}"), "schemes are case-insensitive (RFC 9110 §11.1)"


def test_file_holds_no_secret_and_only_its_owner_may_read_it(keys_file: Path) -> None:
    key = new_key(keys_file)
    assert key.split("_", 2)[2] not in keys_file.read_text()
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600


def test_second_key_leaves_the_first_valid(keys_file: Path) -> None:
    first, second = new_key(keys_file), new_key(keys_file)
    ring = KeyRing(read_keys(keys_file))
    assert {ring.authenticate(f"Bearer {key}") for key in (first, second)} == {
        stored.id for stored in read_keys(keys_file)
    }


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer cxr_", "Token x", "Basic !!!", "Basic /w==", basic("admin", "admin"), "Bearer äöü"],
)
def test_everything_else_is_refused(keys_file: Path, authorization: str | None) -> None:
    new_key(keys_file)
    with pytest.raises(Unauthenticated):
        KeyRing(read_keys(keys_file)).authenticate(authorization)


def test_known_id_with_another_secret_is_refused(keys_file: Path) -> None:
    key = new_key(keys_file)
    forged = key[:-1] + ("A" if key[-1] != "A" else "B")
    with pytest.raises(Unauthenticated):
        KeyRing(read_keys(keys_file)).authenticate(f"Bearer {forged}")


def test_error_does_not_repeat_the_credential(keys_file: Path) -> None:
    new_key(keys_file)
    with pytest.raises(Unauthenticated) as caught:
        KeyRing(read_keys(keys_file)).authenticate("Bearer cxr_0123456789ab_" + "s" * 43)
    assert "sss" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": []}', '{"keys": [{"id": "x"}]}', "\xff"])
def test_unusable_file_stops_the_gateway(keys_file: Path, content: str) -> None:
    keys_file.write_text(content)
    with pytest.raises(SettingsError):
        key_ring("127.0.0.1", keys_file)


def test_missing_file_stops_the_gateway(keys_file: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        key_ring("127.0.0.1", keys_file)


def test_new_key_does_not_overwrite_a_foreign_file(keys_file: Path) -> None:
    keys_file.write_text(json.dumps({"something": "else"}))
    with pytest.raises(SettingsError):
        new_key(keys_file)
    assert json.loads(keys_file.read_text()) == {"something": "else"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_without_keys_is_open(host: str) -> None:
    assert is_loopback(host)
    assert key_ring(host, None) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.example"])
def test_any_other_address_without_keys_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="CXR_API_KEYS_FILE"):
        key_ring(host, None)
