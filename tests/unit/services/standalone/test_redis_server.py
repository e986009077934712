from pathlib import Path

import pytest

from services.jobs.settings import SettingsError
from services.standalone.redis_server import RedisBinary, find_redis_server


def fake_binary(directory: Path, name: str, version: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0'\n")
    path.chmod(0o755)


def test_server_on_the_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_binary(tmp_path, "redis-server", "7.2.4")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert find_redis_server() == RedisBinary(path=tmp_path / "redis-server", version=(7, 2))


def test_too_old_server_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_binary(tmp_path, "redis-server", "5.0.14")
    fake_binary(tmp_path, "valkey-server", "8.0.1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert find_redis_server().path == tmp_path / "valkey-server"


def test_records_of_a_newer_redis_are_not_hidden_by_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    with pytest.raises(SettingsError, match="Redis 7"):
        RedisBinary(path=Path("redis-server"), version=(6, 2)).command(directory=tmp_path, socket=tmp_path / "s")
    assert RedisBinary(path=Path("redis-server"), version=(7, 0)).command(directory=tmp_path, socket=tmp_path / "s")


def test_nothing_that_is_acknowledged_may_be_lost_by_its_settings(tmp_path: Path) -> None:
    command = RedisBinary(path=Path("redis-server"), version=(7, 0)).command(directory=tmp_path, socket=tmp_path / "s")
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--port"] == "0", "reachable by nobody but this user"
