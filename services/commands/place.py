"""Where the system is that an operator's command acts on: an embedded stack's directory, or what CXR_* variables name.

Below every command that needs Redis, the spool, the audit trail or the bundle store; it opens none of them.
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from pydantic import SecretStr

from services.jobs.settings import AuditSettings, RedisSettings, SpoolSettings, WorkerSettings, load_settings
from services.standalone.data_directory import settings_in, socket_of

DataDirectory: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="The directory of a stack that `cxr-triage up` runs. Where absent, CXR_* variables say where things are.",
        file_okay=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Place:
    """One system: its Redis and its directories."""

    redis: RedisSettings
    spool: SpoolSettings
    audit: AuditSettings
    bundle_store: Path


def who_runs_this() -> str:
    """Return the operator for the audit trail: account and host.

    An account without a name, as in a container that runs under any user id, is its number.
    """
    try:
        account = getpass.getuser()
    except (KeyError, OSError):
        account = f"uid {os.getuid()}"
    return f"{account}@{socket.gethostname()}"


def find_place(data_dir: Path | None, *, needs_redis: bool = True) -> Place:
    """Return the place of the stack that lives in ``data_dir``, or the one that the environment names.

    As for the stack itself, a variable that names a place wins over the directory. Without ``needs_redis`` the stack
    need not run, and ``redis`` is what the environment says.

    Raises
    ------
    SettingsError
        If a setting is wrong, or no stack runs in the directory whose Redis is asked for.
    """
    inside = {} if data_dir is None else settings_in(data_dir)

    def directory(variable: str) -> str | None:
        return None if variable in os.environ else inside.get(variable)

    redis_url = None
    if data_dir is not None and needs_redis and "CXR_REDIS_URL" not in os.environ:
        redis_url = SecretStr(f"unix://{socket_of(data_dir)}")
    return Place(
        redis=load_settings(RedisSettings, url=redis_url),
        spool=load_settings(SpoolSettings, directory=directory("CXR_SPOOL_DIRECTORY")),
        audit=load_settings(AuditSettings, directory=directory("CXR_AUDIT_DIRECTORY")),
        bundle_store=load_settings(WorkerSettings, bundle_store=directory("CXR_WORKER_BUNDLE_STORE")).bundle_store,
    )
