"""What a stack consists of, checked before its first process starts: whatever is wrong is said in one line."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model.bundle import read_bundle
from services.api.access.key_ring import key_ring
from services.api.listening import listen
from services.jobs.settings import ApiSettings, RedisSettings, SettingsError, WorkerSettings, load_settings
from services.standalone.child import Child
from services.standalone.data_directory import announced_socket, locked, settings_in, socket_directory
from services.standalone.redis_server import find_redis_server
from services.worker.bundles import default_bundle_directory
from services.worker.cores import cores

# The gateway gives open uploads 30 s, a worker finishes its batch, Redis writes its last fsync.
_API_STOP_SECONDS: Final = 35.0
_WORKER_STOP_SECONDS: Final = 30.0
_REDIS_STOP_SECONDS: Final = 30.0
# -P: what lies in the working directory must not stand in for our packages.
PYTHON: Final = (sys.executable, "-P")


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """What ``cxr-triage up`` is told. ``log`` takes the children's output; where absent it goes to this stderr.

    ``has_dimse`` and ``has_delivery`` start the C-STORE listener and delivery beside gateway and workers.
    """

    data_dir: Path
    port: int | None = None
    workers: int = 1
    bundle: Path | None = None
    has_dimse: bool = False
    has_delivery: bool = False
    log: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was checked before anything starts. ``redis_command`` is ``None`` where Redis is not ours.

    ``named_digest`` is the bundle's where the operator named it, ``None`` where it is the one that ships.
    """

    bundle: Path
    named_digest: str | None
    listener: socket.socket
    redis_url: str
    redis_command: list[str] | None
    lock: int


def make_plan(options: StackOptions, resources: ExitStack) -> Plan:
    """Check settings, bundle, directory, Redis and port; what is held until the end goes into ``resources``.

    Raises
    ------
    SettingsError
        If a setting is unknown or wrong, the port is taken, no Redis is found, or another stack has the directory.
    BundleError
        If the bundle is missing, tampered with, or not servable.
    """
    api = load_settings(ApiSettings, port=options.port)
    key_ring(api.host, api.keys_file)
    named = options.bundle or load_settings(WorkerSettings).bundle
    bundle = named or default_bundle_directory()
    digest = read_bundle(bundle).digest  # refused here, in one line, rather than by each worker
    lock = resources.enter_context(locked(options.data_dir))
    redis_url, redis_command = load_settings(RedisSettings).url.get_secret_value(), None
    if "CXR_REDIS_URL" not in os.environ:
        path = resources.enter_context(socket_directory()) / "redis.sock"
        redis_url = f"unix://{path}"
        resources.enter_context(announced_socket(options.data_dir, path))
        redis_command = find_redis_server().command(directory=_redis_directory(options.data_dir), socket=path)
    listener = resources.enter_context(listen(api.host, api.port))
    return Plan(
        bundle=bundle,
        named_digest=None if named is None else digest,
        listener=listener,
        redis_url=redis_url,
        redis_command=redis_command,
        lock=lock,
    )


def _redis_directory(data_dir: Path) -> Path:
    directory = data_dir / "redis"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot use the data directory {data_dir}: {error.strerror}") from error
    return directory.resolve()


def environment_of(plan: Plan, options: StackOptions) -> dict[str, str]:
    """Return the environment of a process of ours: this one's, which wins where it names a place of its own."""
    defaults = settings_in(options.data_dir) | {
        "CXR_API_LOG_FORMAT": "text",
        "CXR_WORKER_LOG_FORMAT": "text",
        # Several workers on one machine cannot share a port.
        "CXR_WORKER_METRICS_PORT": "0",
    }
    places = {"CXR_REDIS_URL": plan.redis_url, "CXR_WORKER_BUNDLE": str(plan.bundle.resolve())}
    return defaults | dict(os.environ) | places


def redis_child(plan: Plan, options: StackOptions) -> Child | None:
    """Return the private Redis; ``None`` where CXR_REDIS_URL names one."""
    if plan.redis_command is None:
        return None
    # Redis holds the lock too: the directory is free only when nobody writes in it any more, however this process ends.
    return Child(
        "redis",
        plan.redis_command,
        dict(os.environ),
        stop_seconds=_REDIS_STOP_SECONDS,
        pass_fds=(plan.lock,),
        log=options.data_dir / "redis" / "redis.log",
    )


def api_child(plan: Plan, options: StackOptions) -> Child:
    """Return the gateway, on the socket that is bound already."""
    descriptor = plan.listener.fileno()
    # It inherits the socket, which stays open while it is restarted: callers wait for a moment instead of failing.
    return Child(
        "api",
        [*PYTHON, "-m", "services.api", "--fd", str(descriptor)],
        environment_of(plan, options),
        stop_seconds=_API_STOP_SECONDS,
        pass_fds=(descriptor,),
        log=options.log,
    )


def worker_child(plan: Plan, options: StackOptions, number: int) -> Child:
    """Return one worker."""
    return Child(
        f"worker-{number}",
        [*PYTHON, "-m", "services.worker"],
        _share_of_cores(options.workers) | environment_of(plan, options),
        stop_seconds=_WORKER_STOP_SECONDS,
        log=options.log,
    )


def _share_of_cores(workers: int) -> dict[str, str]:
    """Return the settings by which several workers share the cores, where each alone would take them all."""
    if workers == 1:
        return {}
    return {"CXR_WORKER_CORES": str(max(1, cores() // workers))}
