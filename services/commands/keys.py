"""``cxr-triage key``: API keys of a keys file. A running gateway takes notice of a change within two seconds.

No command shows a secret again, or its hash. What is changed is written into the audit trail where there is one.
"""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.api.access.keys_file import (
    LABEL_PATTERN,
    LONGEST_DAYS,
    Grant,
    StoredKey,
    add_key,
    read_keys,
    revoke_key,
)
from services.api.scopes import SITE_PATTERN, Role
from services.commands.place import DataDirectory, find_place
from services.jobs.ledger.entries import AuditEvent
from services.jobs.ledger.trail import open_trail

_WIDTH_OF_A_FILE = 160  # a table that is piped has no terminal to take its width from

app = typer.Typer(help="API keys.", no_args_is_help=True)

KeysFileOption = Annotated[
    Path,
    typer.Option("--file", envvar="CXR_API_KEYS_FILE", show_envvar=True, dir_okay=False, help="Keys file."),
]


def _is_site(value: list[str] | None) -> list[str] | None:
    for site in value or ():
        if not re.fullmatch(SITE_PATTERN, site):
            raise typer.BadParameter("a site is 1 to 32 of a-z, 0-9, `.`, `_` and `-`")
    return value


def _is_label(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(LABEL_PATTERN, value):
        raise typer.BadParameter("a label is 1 to 40 letters, digits, spaces, `.`, `_` and `-`")
    return value


@app.command("new")
def new(
    file: KeysFileOption,
    role: Annotated[list[Role], typer.Option(help="What the key may do; again for more. admin includes all others.")],
    site: Annotated[
        list[str] | None, typer.Option(callback=_is_site, help="Only this site; again for more. Default: every site.")
    ] = None,
    expires_days: Annotated[
        int, typer.Option(min=1, max=LONGEST_DAYS, help="Days after which the key opens nothing.")
    ] = LONGEST_DAYS,
    label: Annotated[
        str | None, typer.Option(callback=_is_label, help="Whose key it is: a client's name, never a patient's.")
    ] = None,
    data_dir: DataDirectory = None,
) -> None:
    """Add an API key to a keys file, which is made where it is absent, and print it.

    It is not shown again; only its hash is kept.
    """
    grant = Grant(roles=tuple(role), sites=tuple(site or ()), label=label, expires_days=expires_days)
    credential, stored = add_key(file, grant)
    _write_down(AuditEvent.KEY_CREATED, stored, data_dir)
    print(str(credential))
    expires_at = "never" if stored.expires_at is None else f"{stored.expires_at:%Y-%m-%d}"
    print(f"key {stored.id}: {_roles(stored)} at {_sites(stored)}, until {expires_at}", file=sys.stderr)


@app.command("list")
def show(file: KeysFileOption) -> None:
    """List the keys of a keys file: never their secrets or hashes."""
    now = datetime.now(UTC)
    table = Table("id", "state", "roles", "sites", "label", "created", "expires", "revoked", box=None, pad_edge=False)
    for key in read_keys(file):
        days = (_day(key.created_at), _day(key.expires_at) or "never", _day(key.revoked_at))
        table.add_row(key.id, key.state(now), _roles(key), _sites(key), key.label or "", *days)
    width = None if Console().is_terminal else _WIDTH_OF_A_FILE
    Console(width=width, highlight=False, markup=False).print(table)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `key list` shows it.")],
    file: KeysFileOption,
    data_dir: DataDirectory = None,
) -> None:
    """Revoke a key: it opens nothing any more, and neither do the page sessions that began with it."""
    stored = revoke_key(file, key_id)
    _write_down(AuditEvent.KEY_REVOKED, stored, data_dir)
    print(f"key {stored.id} is revoked since {stored.revoked_at:%Y-%m-%d %H:%M:%S} UTC")


def _write_down(event: AuditEvent, key: StoredKey, data_dir: Path | None) -> None:
    """Note a change in the audit trail of the system that is named, or in the one here; a machine may have none."""
    settings = find_place(data_dir, needs_redis=False).audit
    is_named = data_dir is not None or "CXR_AUDIT_DIRECTORY" in os.environ
    if not is_named and not settings.directory.is_dir():
        print(
            "cxr-triage key: no audit trail here, so the change is in none; --data-dir or CXR_AUDIT_DIRECTORY names it",
            file=sys.stderr,
        )
        return
    with open_trail(settings, "cli") as trail:
        trail.note(event, who=key.id)


def _roles(key: StoredKey) -> str:
    return ", ".join(key.roles)


def _sites(key: StoredKey) -> str:
    return "every site" if key.sites is None else ", ".join(key.sites)


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"
