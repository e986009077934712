"""Real processes of the system, each reached as its users reach it: a gateway over HTTP, a worker through Redis."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.api.listening import listen, url_of
from tests.support.processes import wait_or_kill

START_SECONDS = 120.0
STOP_SECONDS = 60.0
# Far above the 30 s for which a request may wait for its film.
CLIENT_SECONDS = 120.0


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment without settings of its own, plus ``CXR_<name>`` for each of ``settings``.

    How full the disk of this machine is shall change nothing, unless ``spool_minimum_free_ratio`` is among them.
    """
    ours = {f"CXR_{name.upper()}": str(value) for name, value in ({"spool_minimum_free_ratio": 0.0} | settings).items()}
    return {name: value for name, value in os.environ.items() if not name.startswith("CXR_")} | ours


def wait_until(
    condition: Callable[[], bool],
    *,
    seconds: float = START_SECONDS,
    every_seconds: float = 0.02,
    what: str = "the condition",
) -> None:
    """Return once ``condition`` holds, which is asked every so often; fail after a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds:.0f} s")
        time.sleep(every_seconds)


def plain_client(**options: object) -> httpx.Client:
    """Return a client of plain HTTP. It reads no authority's certificate, which takes 30 ms of a processor a client."""
    chosen = {"trust_env": False, "timeout": CLIENT_SECONDS, "verify": False} | options
    return httpx.Client(**chosen)  # type: ignore[arg-type]


def plain_get(url: str, **options: object) -> httpx.Response:
    """Ask once over plain HTTP."""
    with plain_client() as client:
        return client.get(url, **options)  # type: ignore[arg-type]


class ServiceProcess:
    """One of our programs, with its output in a file."""

    def __init__(
        self,
        command: list[str],
        log: Path,
        settings: dict[str, str],
        *,
        pass_fds: tuple[int, ...] = (),
        python: Path = Path(sys.executable),
    ):
        self._log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(python), *command], env=settings, stdout=output, stderr=output, pass_fds=pass_fds
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def output(self) -> str:
        """What this process has written; a log that an earlier one left is not shown."""
        return self._log.read_bytes()[self._log_start :].decode(errors="replace")

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status; harmless if it has ended."""
        if self.is_running:
            self.process.send_signal(number)
        return wait_or_kill(self.process, seconds=STOP_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_SECONDS)


class GatewayProcess(ServiceProcess):
    """``python -m services.api`` on a port of loopback; 0 takes a free one."""

    def __init__(self, directory: Path, *, redis_url: str, port: int = 0, **settings: object) -> None:
        self._listener: socket.socket = listen("127.0.0.1", port)
        self.port = int(self._listener.getsockname()[1])
        self.url = url_of(self._listener)
        self.spool_directory = directory / "spool"
        descriptor = self._listener.fileno()
        places = {
            "redis_url": redis_url,
            "spool_directory": self.spool_directory,
            "audit_directory": directory / "audit",
        }
        super().__init__(
            ["-m", "services.api", "--fd", str(descriptor)],
            directory / "api.log",
            environment(**(places | settings)),
            pass_fds=(descriptor,),
        )
        self._listener.close()

    def client(self, **options: object) -> httpx.Client:
        return plain_client(base_url=self.url, **options)

    def empty_spool(self) -> None:
        """Forget every film, where Redis has been emptied: it would give them back to Redis."""
        for folder in self.spool_directory.glob("[0-9a-f][0-9a-f]"):
            shutil.rmtree(folder)

    def wait_ready(self) -> None:
        with self.client() as client:
            wait_until(lambda: self._is_ready(client), what=f"readiness\n{self.output[-3000:]}\n")

    def _is_ready(self, client: httpx.Client) -> bool:
        assert self.is_running, self.output[-3000:]
        try:
            return client.get("/health/ready").is_success
        except httpx.TransportError:
            return False


class WorkerProcess(ServiceProcess):
    """``python -m services.worker`` with a bundle."""

    def __init__(self, directory: Path, *, redis_url: str, bundle: Path, **settings: object) -> None:
        places = {
            "redis_url": redis_url,
            "spool_directory": directory / "spool",
            "audit_directory": directory / "audit",
            "worker_bundle": bundle,
        }
        super().__init__(
            ["-m", "services.worker"],
            directory / "worker.log",
            environment(**({"worker_metrics_port": 0} | places | settings)),
        )


class ListeningProcess(ServiceProcess):
    """One of our programs that says its ports in its log when it has started."""

    def __init__(self, module: str, log: Path, settings: dict[str, str], *arguments: str, started: str) -> None:
        self._started = started
        super().__init__(["-m", module, *arguments], log, settings)

    def ports(self) -> dict[str, int]:
        """Wait until it has started; return every ``…port`` that it names."""
        wait_until(lambda: self._start() is not None or not self.is_running, what=self._started)
        start = self._start()
        assert start is not None, self.output[-3000:]
        return {name: value for name, value in start.items() if name.endswith("port")}

    def get(self, path: str) -> tuple[int, str]:
        """Ask its own port for status and body; status 0 where it does not answer."""
        url = f"http://127.0.0.1:{self.ports()['metrics_port']}{path}"
        try:
            answer = plain_get(url)
        except httpx.TransportError:
            return 0, ""
        return answer.status_code, answer.text

    def wait_ready(self) -> None:
        """Return when it does its work: it is ready by its own word."""
        wait_until(self._is_ready, what=f"readiness of {self._started}")

    def counted(self, metric: str, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels, as its /metrics says it now."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in family.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        )

    def _is_ready(self) -> bool:
        assert self.is_running, self.output[-3000:]
        return self.get("/health/ready")[0] == 200

    def _start(self) -> dict[str, Any] | None:
        whole, _, _ = self.output.rpartition("\n")  # the last line may be under way
        events = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return next((event for event in events if event.get("action") == self._started), None)
