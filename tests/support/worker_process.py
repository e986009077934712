"""A real worker: ``python -m services.worker`` in a process of its own, with settings for impatient tests."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.processes import wait_or_kill

START_SECONDS = 120.0
STOP_SECONDS = 60.0


class WorkerProcess:
    """One worker; start, stop and kill it. Its log goes to ``directory / "worker-<n>.log"``.

    ``module`` is another program of the same parts, where a test has a faulty one.
    """

    def __init__(self, directory: Path, *, module: str = "services.worker", **settings: object) -> None:
        self._directory = directory
        self._module = module
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "worker.log"
        self._starts = 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self, *, wait: bool = True) -> None:
        """Start it, and return when it is ready. One that was started before is not left running."""
        self.kill()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}
        environment["CXR_AUDIT_DIRECTORY"] = str(self._directory / "audit")
        environment |= {name: _text(value) for name, value in self._settings.items()}
        self._starts += 1
        self._log = self._log_of(self._starts)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([sys.executable, "-m", self._module], env=environment, stderr=log)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            assert self.process.poll() is None, self.log_text()
            assert time.monotonic() < deadline, self.log_text()
            time.sleep(0.02)

    def is_ready(self) -> bool:
        try:
            return self.get("/health/ready")[0] == 200
        except (OSError, http.client.HTTPException, LookupError):
            return False

    def get(self, path: str) -> tuple[int, str]:
        """Ask its own port."""
        ports = [event["metrics_port"] for event in self.events() if event.get("action") == "worker_started"]
        if not ports:
            raise LookupError("the worker has not said its port yet")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def events(self) -> list[dict[str, Any]]:
        """Return what it has logged so far."""
        return _events(self._log)

    def events_of_all_starts(self) -> list[dict[str, Any]]:
        """Return what it and those that were killed or died before it have logged."""
        return [event for start in range(self._starts) for event in _events(self._log_of(start + 1))]

    def log_text(self) -> str:
        return self._log.read_text(errors="replace")

    def _log_of(self, start: int) -> Path:
        return self._directory / f"worker-{start}.log"

    def terminate(self) -> int:
        """Ask it to stop; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return wait_or_kill(self.process, seconds=STOP_SECONDS)

    def kill(self) -> None:
        """End it as a crash would; harmless if it has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=STOP_SECONDS)


def _events(log: Path) -> list[dict[str, Any]]:
    whole, _, _ = log.read_text(errors="replace").rpartition("\n")  # the last line may be under way
    return [json.loads(line) for line in whole.splitlines() if line.startswith("{") and line.endswith("}")]


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | bool) else str(value)
