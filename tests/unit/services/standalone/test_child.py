"""Real processes: small Python programs that live, die and refuse."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from services.standalone.child import Child, ChildFailed
from tests.support.gateway import wait_until

_DEADLINE_SECONDS = 30.0


def program(source: str, tmp_path: Path, name: str = "test", stop_seconds: float = 10.0) -> Child:
    command = [sys.executable, "-c", source, str(tmp_path)]
    return Child(name, command, dict(os.environ), stop_seconds=stop_seconds, log=tmp_path / "child.log")


async def until(path: Path) -> str:
    """Wait for a file that the child writes, and return what is in it."""
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while not (content := _content(path)):  # noqa: ASYNC110 - a file of another process has no event to wait for
            await asyncio.sleep(0.01)
    return content


def _content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.fixture
async def tasks() -> AsyncIterator[list[asyncio.Task[None]]]:
    started: list[asyncio.Task[None]] = []
    yield started
    for task in started:
        task.cancel()
    await asyncio.gather(*started, return_exceptions=True)


LIVES = "import pathlib, sys, time, os; pathlib.Path(sys.argv[1], 'pid').write_text(str(os.getpid())); time.sleep(600)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LIVES}"


async def test_dead_child_is_started_again(tmp_path: Path, tasks: list[asyncio.Task[None]]) -> None:
    child = program(LIVES, tmp_path)
    tasks.append(asyncio.create_task(child.run()))
    first = await until(tmp_path / "pid")
    (tmp_path / "pid").unlink()
    os.kill(int(first), signal.SIGKILL)
    assert await until(tmp_path / "pid") != first
    await child.stop()


@pytest.mark.parametrize("source", [LIVES, IGNORES_SIGTERM], ids=["polite", "deaf"])
async def test_stopped_child_is_gone_and_stays_so(source: str, tmp_path: Path, tasks: list[asyncio.Task[None]]) -> None:
    child = program(source, tmp_path, stop_seconds=0.5)
    task = asyncio.create_task(child.run())
    tasks.append(task)
    pid = int(await until(tmp_path / "pid"))
    await child.stop()
    await child.stop()
    await task
    assert not psutil.pid_exists(pid)


async def test_child_that_refuses_its_configuration_is_not_tried_again(tmp_path: Path) -> None:
    child = program("import pathlib, sys; open(sys.argv[1] + '/tries', 'a').write('x'); sys.exit(2)", tmp_path)
    with pytest.raises(ChildFailed, match=r"child\.log"):
        await child.run()
    assert (tmp_path / "tries").read_text() == "x"


async def test_child_that_was_ready_is_started_again_whatever_it_exits_with(
    tmp_path: Path, tasks: list[asyncio.Task[None]]
) -> None:
    source = f"import pathlib, sys; (pathlib.Path(sys.argv[1]) / 'died').exists() or sys.exit(\
(pathlib.Path(sys.argv[1]) / 'died').write_text('x') + 1)\n{LIVES}"
    child = program(source, tmp_path)
    child.settle()
    tasks.append(asyncio.create_task(child.run()))
    await until(tmp_path / "pid")
    assert (tmp_path / "died").read_text() == "x"
    await child.stop()


async def test_child_that_never_becomes_ready_is_given_up(tmp_path: Path) -> None:
    child = program("import sys; open(sys.argv[1] + '/tries', 'a').write('x'); sys.exit(1)", tmp_path)
    with pytest.raises(ChildFailed, match="exit status 1"):
        await child.run()
    assert (tmp_path / "tries").read_text() == "xxx"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = f"""
import asyncio, os, pathlib, sys
from services.standalone.child import Child
command = [sys.executable, "-c", {LIVES!r}, {str(tmp_path)!r}]
asyncio.run(Child("test", command, dict(os.environ), stop_seconds=1).run())
"""
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        wait_until(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()), what="the child")
        pid = int((tmp_path / "pid").read_text())
        process.kill()
    wait_until(lambda: not psutil.pid_exists(pid), what="the end of the child")
