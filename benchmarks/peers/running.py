"""Keeps one contender alive for a block: its processes, its readiness, the processor time of all of them, their end.

Must not know HTTP nor what is measured.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks.peers.contenders import Contender, Setup

_PROGRAMS: Final = Path(__file__).parent / "servers"
_START_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 40.0
_POLL_SECONDS: Final = 0.2
_LOG_TAIL_CHARACTERS: Final = 1500
# What lets one environment's packages into another's.
_NOT_INHERITED: Final = ("PYTHONPATH", "VIRTUAL_ENV")


class ContenderFailed(Exception):
    """A contender did not come up, or died; with the end of what it wrote."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a contender is given: its python, the bundle it serves, and an empty ``directory`` on a real disk."""

    python: Path
    bundle: Path
    directory: Path

    @property
    def log(self) -> Path:
        """Where its processes write."""
        return self.directory / "log"

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL_CHARACTERS:]


@dataclass(frozen=True, kw_only=True)
class Running:
    """A contender that listens at ``url``, and the root of its processes."""

    url: str
    root: psutil.Process

    def cpu_seconds(self) -> float:
        """Return the processor time of its processes until now, those included that have ended."""
        return sum(_cpu_seconds(process) for process in _tree(self.root))


@contextlib.contextmanager
def running(contender: Contender, setup: Setup, place: Place) -> Iterator[Running]:
    """Start a contender, hand it out when it is up, and stop it and all its processes at the end.

    Its processes run on this process's cores.

    Raises
    ------
    ContenderFailed
        If it is not up in time.
    """
    port = _free_port()
    names = {"python": place.python, "port": port, "bundle": place.bundle, "directory": place.directory}
    # Ray puts sockets into its temporary directory; their paths may have 107 bytes, so that directory is a short one.
    with (
        tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as short,
        place.log.open("wb") as output,
    ):
        process = subprocess.Popen(
            [part.format_map(names) for part in setup.command],
            cwd=_PROGRAMS,
            env=_environment(setup, names, temporary=short),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        root = psutil.Process(process.pid)
        try:
            _wait_until_up(process, port, contender, place)
            yield Running(url=f"http://127.0.0.1:{port}", root=root)
        finally:
            _stop(process, root)


def _environment(setup: Setup, names: Mapping[str, object], *, temporary: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    facts = {"FILM_NETWORK": f"{names['bundle']}/model.onnx", "FILM_PORT": str(names["port"])}
    places = {"TMPDIR": temporary, "RAY_TMPDIR": temporary, "BENTOML_HOME": temporary}
    chosen = {name: value.format_map(names) for name, value in setup.environment.items()}
    return inherited | places | facts | chosen | {"DO_NOT_TRACK": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(process: subprocess.Popen[bytes], port: int, contender: Contender, place: Place) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not (_listens(port) and (not contender.ready or contender.ready in place.said())):
        if process.poll() is not None:
            raise ContenderFailed(f"{contender.name} ended with {process.returncode} before it was up:\n{place.said()}")
        if time.monotonic() > deadline:
            raise ContenderFailed(f"{contender.name} was not up within {_START_SECONDS:.0f} s:\n{place.said()}")
        time.sleep(_POLL_SECONDS)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_POLL_SECONDS):
            return True
    except OSError:
        return False


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # ended since it was listed; its parent counts it from now on
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _stop(process: subprocess.Popen[bytes], root: psutil.Process) -> None:
    started = _tree(root)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    _, survivors = psutil.wait_procs(started, timeout=_POLL_SECONDS)
    for survivor in survivors:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    process.wait()
