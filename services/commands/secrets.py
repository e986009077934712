"""``cxr-triage secrets``: what a deployment needs and no repository may hold, made once, in a directory of its own."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import typer

from services.api.access.keys_file import LONGEST_DAYS, Grant, add_key
from services.api.scopes import Role
from services.jobs.rights import RedisUser, acl_file
from services.jobs.settings import SettingsError

_SECRET_BYTES: Final = 32
_FOLDERS: Final = ("redis", "keys", "targets", "tls", "prometheus", "grafana")

app = typer.Typer(help="Secrets of a deployment.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep ``new`` a word of its own: a group of one command would swallow it."""


@app.command("new")
def new(
    directory: Annotated[Path, typer.Argument(help="Directory to make; it must not exist.")],
    redis: Annotated[str, typer.Option(help="Where the processes reach Redis, as HOST:PORT.")] = "redis:6379",
) -> None:
    """Make Redis users with their passwords, the environment of each process, and a first API key, which is printed.

    The key is an admin's and is shown once; make narrower ones with `cxr-triage key new`. Files: redis/users.acl (for
    Redis), api.env, worker.env, dimse.env and delivery.env (CXR_REDIS_URL), exporter.env (REDIS_ADDR, REDIS_USER,
    REDIS_PASSWORD), keys/api-keys.json (for the gateway), prometheus/metrics.key (a key that may scrape),
    grafana/password (of its user admin), targets/ (empty: targets.toml and what it names go there, see
    docs/integration.md), tls/ (empty: certificate and key of the DIMSE listener).
    """
    passwords = {user: secrets.token_urlsafe(_SECRET_BYTES) for user in RedisUser}
    urls = {user: f"redis://{user}:{quote(password)}@{redis}/0" for user, password in passwords.items()}
    try:
        for folder in (directory, *(directory / name for name in _FOLDERS)):
            folder.mkdir(mode=0o700, parents=folder == directory)
        _write(directory / "redis" / "users.acl", acl_file(passwords))
        for user in (RedisUser.API, RedisUser.WORKER, RedisUser.DIMSE, RedisUser.DELIVERY):
            _write(directory / f"{user}.env", f"CXR_REDIS_URL={urls[user]}\n")
        _write(directory / "exporter.env", _exporter_environment(redis, passwords[RedisUser.EXPORTER]))
        _write(directory / "grafana" / "password", secrets.token_urlsafe(_SECRET_BYTES))
    except FileExistsError as error:
        raise SettingsError(f"{directory} exists already, and no secret is ever overwritten") from error
    except OSError as error:
        raise SettingsError(f"cannot write to {directory}: {error.strerror}") from error
    keys_file = directory / "keys" / "api-keys.json"
    credential = _new_key(keys_file, Role.ADMIN, label="first key")
    _write(directory / "prometheus" / "metrics.key", _new_key(keys_file, Role.METRICS, label="prometheus"))
    print(credential)


def _exporter_environment(redis: str, password: str) -> str:
    """Return what redis_exporter reads; its password is not part of an address, which it would log."""
    return f"REDIS_ADDR=redis://{redis}\nREDIS_USER={RedisUser.EXPORTER}\nREDIS_PASSWORD={password}\n"


def _new_key(keys_file: Path, role: Role, *, label: str) -> str:
    grant = Grant(roles=(role,), sites=(), label=label, expires_days=LONGEST_DAYS)
    credential, _ = add_key(keys_file, grant, now=datetime.now(UTC))
    return str(credential)


def _write(path: Path, content: str) -> None:
    """Write a new file that only its owner can read, from its first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
