"""A step's folder is whole or absent, and a key tells whether it is the one that was asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from training.errors import RunError
from training.run_directory import RunDirectory

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from training.run_directory import RunDirectory
with RunDirectory(Path(sys.argv[1])).writing("head", "new", commit="c") as output:
    (output / "head.pt").write_text("half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def finish(run: RunDirectory, key: str, content: str) -> None:
    with run.writing("head", key, commit="c") as output:
        (output / run.head.name).write_text(content)


def fail_half_way(path: Path) -> None:
    path.write_text("half of it")
    raise OSError("disk full")


def test_a_finished_step_is_there_with_its_key(run: RunDirectory) -> None:
    assert run.key("head") is None
    finish(run, "a", "first")
    assert run.key("head") == "a"
    assert run.head.read_text() == "first"


def test_other_inputs_replace_a_finished_step(run: RunDirectory) -> None:
    finish(run, "a", "first")
    finish(run, "b", "second")
    assert run.key("head") == "b"
    assert run.head.read_text() == "second"
    assert [path.name for path in run.root.iterdir()] == ["head"]


def test_a_step_that_raises_leaves_what_was_finished_before(run: RunDirectory) -> None:
    finish(run, "a", "first")
    with pytest.raises(OSError, match="disk full"), run.writing("head", "b", commit="c") as output:
        fail_half_way(output / run.head.name)
    assert run.key("head") == "a"
    assert run.head.read_text() == "first"


def test_a_killed_step_leaves_nothing_that_looks_finished(run: RunDirectory) -> None:
    finish(run, "a", "first")
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(run.root)], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert run.key("head") == "a"
    assert run.head.read_text() == "first"
    finish(run, "c", "third")
    assert run.head.read_text() == "third"
    assert [path.name for path in run.root.iterdir()] == ["head"]


def test_a_folder_without_stamp_is_not_finished(run: RunDirectory) -> None:
    run.head.parent.mkdir()
    run.head.write_text("copied by hand")
    assert run.key("head") is None


@pytest.mark.parametrize("stamp", [b"", b"{}", b"[]", b"null", b"\xff"])
def test_a_folder_with_a_foreign_stamp_is_not_finished(run: RunDirectory, stamp: bytes) -> None:
    finish(run, "a", "first")
    (run.head.parent / "stamp.json").write_bytes(stamp)
    assert run.key("head") is None
    finish(run, "a", "second")
    assert run.key("head") == "a"


def test_one_process_at_a_time_works_in_a_run(run: RunDirectory) -> None:
    with run.locked(), pytest.raises(RunError, match="another process"), RunDirectory(run.root).locked():
        pass
    with run.locked():
        finish(run, "a", "first")


def test_the_lock_of_an_absent_run_makes_none(run: RunDirectory) -> None:
    absent = RunDirectory(run.root / "absent")
    with pytest.raises(RunError, match="not a run directory"), absent.locked():
        pass
    assert not absent.root.exists()
    with absent.locked(create=True):
        assert absent.root.exists()


def test_a_directory_that_is_no_run_is_named(run: RunDirectory) -> None:
    with pytest.raises(RunError, match="not a run directory"):
        run.read_order()
    run.order.write_text("{}")
    with pytest.raises(RunError, match="not written by this version"):
        run.read_order()


def test_a_step_is_taken_from_another_run_by_its_key_alone(run: RunDirectory, tmp_path: Path) -> None:
    other = RunDirectory(tmp_path / "other")
    with other.writing("head", "a", commit="older") as output:
        (output / "parts").mkdir()
        (output / "parts" / "one").write_text("first")
    finish(run, "b", "second")
    assert not run.adopt("head", other, "b")
    assert not run.adopt("pixels", other, "a")
    assert run.key("head") == "b"
    assert run.adopt("head", other, "a")
    assert run.key("head") == "a"
    assert (run.root / "head" / "parts" / "one").samefile(other.root / "head" / "parts" / "one")
    assert not list(run.root.glob(".head*"))


def test_a_step_that_was_taken_over_outlives_the_run_it_came_from(run: RunDirectory, tmp_path: Path) -> None:
    other = RunDirectory(tmp_path / "other")
    finish(other, "a", "first")
    assert run.adopt("head", other, "a")
    finish(other, "b", "second")
    assert (run.key("head"), run.head.read_text()) == ("a", "first")
