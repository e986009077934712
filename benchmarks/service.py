"""The service under measurement: ``cxr-triage up`` on chosen cores, and what each of its processes costs.

Redis, spool, gateway, ledger and sandboxed decoding are all there, as an operator has them.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.machine import pinned
from tests.support.stack import StackProcess

_UNBOUNDED: Final = 100_000


class Role(StrEnum):
    """What a process is there for."""

    SUPERVISOR = "supervisor"
    GATEWAY = "gateway"
    REDIS = "redis"
    WORKER = "worker"
    DECODING = "decoding"


_MODULES: Final = {
    "services.worker.decoding.zygote": Role.DECODING,
    "services.worker": Role.WORKER,
    "services.api": Role.GATEWAY,
    "services.cli": Role.SUPERVISOR,
}


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running stack. ``url`` is its gateway's."""

    url: str
    stack: StackProcess

    def processes(self) -> dict[Role, list[psutil.Process]]:
        """Return every live process by what it is there for."""
        return processes_by_role([psutil.Process(self.stack.process.pid), *self.stack.children()])

    def cpu_seconds(self) -> dict[Role, float]:
        """Return the processor time of each role since its processes began, those of decoding that ended too."""
        return cpu_seconds(self.processes())

    def rss_bytes(self) -> dict[Role, int]:
        """Return the memory of each role; what decoding children share with each other counts in each."""
        return {role: sum(map(rss_bytes, found)) for role, found in self.processes().items()}

    def wait_idle(self) -> None:
        """Wait until no film is open."""
        self.stack.wait_idle()


@contextmanager
def running_service(
    directory: Path,
    *,
    bundle: Path,
    workers: int = 1,
    cores: Sequence[int] | None = None,
    python: Path = Path(sys.executable),
    **settings: Any,
) -> Iterator[Service]:
    """Run a stack of its own in ``directory`` for the block, on these cores; ``settings`` are ``CXR_<name>``.

    ``python`` is the one of an environment that has another build of onnxruntime (``environments.own_environment``).

    Limits that would refuse a load generator's films are lifted: a refusal costs little, and is not what is measured.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lifted = {"api_routine_depth": _UNBOUNDED, "api_max_uploads": 1024, "api_queue_bytes": 64 * 1024**3}
    with pinned(cores):
        stack = StackProcess(directory, bundle=bundle, workers=workers, python=python, **(lifted | settings))
    with stack:
        yield Service(url=stack.wait_ready(), stack=stack)


def processes_by_role(processes: Sequence[psutil.Process]) -> dict[Role, list[psutil.Process]]:
    """Sort processes by what they are there for; one that is none of ours, or has ended, is left out."""
    found: dict[Role, list[psutil.Process]] = defaultdict(list)
    for process in processes:
        role = _role(process)
        if role is not None:
            found[role].append(process)
    return dict(found)


def _role(process: psutil.Process) -> Role | None:
    try:
        command, name = process.cmdline(), process.name()
    except psutil.Error:
        return None
    for module, role in _MODULES.items():
        if module in command:
            return role
    return Role.REDIS if name.startswith(("redis", "valkey")) else None


def cpu_seconds(processes: Mapping[Role, Sequence[psutil.Process]]) -> dict[Role, float]:
    """Return the processor time of each role: of its live processes, and of their children that have ended."""
    return {role: sum(map(_cpu_seconds, found)) for role, found in processes.items()}


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        spent = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(spent.user + spent.system + spent.children_user + spent.children_system)


def rss_bytes(process: psutil.Process) -> int:
    """Return what a process holds in memory; nothing where it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What roles spent between two moments: ``cpu_seconds`` in ``wall_seconds``."""

    cpu_seconds: Mapping[Role, float]
    wall_seconds: float

    def per_film_ms(self, films: int, *roles: Role) -> float:
        """Return the milliseconds of these roles for each of ``films``."""
        return 1000 * sum(self.cpu_seconds.get(role, 0.0) for role in roles) / films


class Meter:
    """Reads what a service costs from the moment it is made."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._before = service.cpu_seconds()
        self._began = time.perf_counter()

    def read(self) -> Cost:
        """Return what was spent since then."""
        after, wall = self._service.cpu_seconds(), time.perf_counter() - self._began
        spent = {role: seconds - self._before.get(role, 0.0) for role, seconds in after.items()}
        return Cost(cpu_seconds=spent, wall_seconds=wall)
