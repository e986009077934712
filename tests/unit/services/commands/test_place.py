"""A command acts on the stack that it is told, and never on another one by mistake."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.commands.place import find_place
from services.jobs.settings import SettingsError
from services.standalone.data_directory import announced_socket, socket_directory


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CXR_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def listening() -> Iterator[Path]:
    """A socket where somebody listens, as a stack's Redis does."""
    with socket_directory() as directory, socket.socket(socket.AF_UNIX) as server:
        path = directory / "redis.sock"
        server.bind(str(path))
        server.listen()
        yield path


def test_a_running_stack_is_found_by_its_directory(tmp_path: Path, listening: Path) -> None:
    with announced_socket(tmp_path, listening):
        place = find_place(tmp_path)
    assert place.redis.url.get_secret_value() == f"unix://{listening}"
    assert place.spool.directory == tmp_path / "spool"
    assert place.audit.directory == tmp_path / "audit"
    assert place.bundle_store == tmp_path / "bundles"


def test_a_stack_that_has_ended_leaves_no_note(tmp_path: Path, listening: Path) -> None:
    with announced_socket(tmp_path, listening):
        pass
    with pytest.raises(SettingsError, match="no stack with a Redis of its own is running"):
        find_place(tmp_path)


def test_the_note_of_a_stack_that_was_killed_is_not_believed(tmp_path: Path) -> None:
    with socket_directory() as directory, announced_socket(tmp_path, directory / "gone.sock"):
        with pytest.raises(SettingsError, match="no stack"):
            find_place(tmp_path)
        assert find_place(tmp_path, needs_redis=False).spool.directory == tmp_path / "spool"


def test_what_the_environment_names_wins_as_it_does_for_the_stack(
    tmp_path: Path, listening: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_REDIS_URL", "redis://elsewhere:6379/3")
    monkeypatch.setenv("CXR_WORKER_BUNDLE_STORE", "/elsewhere/bundles")
    with announced_socket(tmp_path, listening):
        place = find_place(tmp_path)
    assert place.redis.url.get_secret_value() == "redis://elsewhere:6379/3"
    assert place.bundle_store == Path("/elsewhere/bundles")
    assert place.audit.directory == tmp_path / "audit"


def test_without_a_directory_the_environment_says_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_SPOOL_DIRECTORY", "/shared/spool")
    place = find_place(None)
    assert place.redis.url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert place.spool.directory == Path("/shared/spool")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_an_account_without_a_name_is_its_number(tmp_path: Path) -> None:
    # As in a container that is run with any user id.
    program = "import os; from services.commands.place import who_runs_this; os.setuid(54321); print(who_runs_this())"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == f"uid 54321@{socket.gethostname()}\n"
