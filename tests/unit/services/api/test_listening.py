"""The gateway's socket: bound here, or handed over by whoever started the process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.api.__main__ import EXIT_CANNOT_START
from services.api.listening import host_of, inherit, listen
from services.jobs.settings import SettingsError
from tests.support.gateway import environment


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "nobody.invalid", "", "[::1]"])
def test_host_that_is_none_is_one_clear_line(host: str) -> None:
    with pytest.raises(SettingsError):
        listen(host, 0)


def test_socket_that_is_handed_over_says_where_it_listens() -> None:
    with listen("127.0.0.1", 0) as ours, inherit(os.dup(ours.fileno())) as theirs:
        assert host_of(theirs) == "127.0.0.1"


def test_unix_socket_is_nobodys_loopback(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert host_of(listener) == str(tmp_path / "s")


def test_what_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(SettingsError, match="no socket"):
        inherit(os.dup(file.fileno()))
    with socket.socket() as idle, pytest.raises(SettingsError, match="does not listen"):
        inherit(os.dup(idle.fileno()))


def test_socket_that_others_can_reach_needs_keys_whatever_the_settings_say(tmp_path: Path) -> None:
    with listen("0.0.0.0", 0) as everywhere:
        descriptor = everywhere.fileno()
        command = [sys.executable, "-m", "services.api", "--fd", str(descriptor)]
        settings = environment(api_host="127.0.0.1")
        ended = subprocess.run(
            command, cwd=tmp_path, env=settings, pass_fds=[descriptor], capture_output=True, text=True
        )
    assert ended.returncode == EXIT_CANNOT_START
    assert "there are no API keys" in ended.stderr
