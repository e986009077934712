"""``cxr-triage up`` as a test sees it: a command that says where it serves, and processes that must not outlive it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import httpx
import psutil
import redis

from services.jobs import keys
from services.standalone.data_directory import socket_of
from tests.support.gateway import ServiceProcess, environment, plain_client, wait_until

_READY = re.compile(r"^ready: (\S+)", re.MULTILINE)


class StackProcess(ServiceProcess):
    """An embedded stack in ``directory / "data"`` on a free port, run by this ``python``."""

    def __init__(
        self,
        directory: Path,
        *,
        bundle: Path,
        workers: int = 1,
        flags: tuple[str, ...] = (),
        python: Path = Path(sys.executable),
        **settings: object,
    ) -> None:
        self.data_dir = directory / "data"
        options = ["--data-dir", str(self.data_dir), "--port", "0", "--workers", str(workers), "--bundle", str(bundle)]
        super().__init__(
            ["-m", "services.cli", "up", *options, *flags],
            directory / "up.log",
            environment(**settings),
            python=python,
        )

    def wait_ready(self) -> str:
        """Wait until films are scored; return the URL of the gateway."""
        wait_until(lambda: bool(_READY.search(self.output)) or not self.is_running, what="the stack")
        found = _READY.findall(self.output)
        assert self.is_running, self.output[-3000:]
        return str(found[-1])

    def client(self) -> httpx.Client:
        return plain_client(base_url=self.wait_ready())

    def wait_idle(self) -> None:
        """Wait until no film is open."""
        with redis.Redis(unix_socket_path=str(socket_of(self.data_dir))) as client:
            wait_until(lambda: client.zcard(keys.OPEN) == 0, what="the end of all films")

    def children(self) -> list[psutil.Process]:
        """Return every process below this one, grandchildren too."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name: str) -> psutil.Process:
        """Return the one process that runs the module ``name`` or is a program whose name begins so."""
        (found,) = [child for child in self.children() if _is(child, name)]
        return found


def _is(process: psutil.Process, name: str) -> bool:
    try:
        return name in process.cmdline() or process.name().startswith(name)
    except psutil.NoSuchProcess:  # ended since it was listed; a zombie counts as one
        return False


def wait_gone(processes: list[psutil.Process]) -> None:
    """Wait until none of them runs any more."""
    wait_until(lambda: not any(_runs(process) for process in processes), what="the end of all children")


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
