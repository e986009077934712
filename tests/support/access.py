"""API keys as a test needs them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.api.access.keys_file import LONGEST_DAYS, Grant, add_key
from services.api.scopes import Role

# What a key of 0.1.0 could do.
EVERYDAY = (Role.SUBMIT, Role.READ, Role.METRICS)


def make_key(
    path: Path,
    *roles: Role,
    sites: Sequence[str] = (),
    label: str | None = None,
    expires_days: int = LONGEST_DAYS,
    age_days: int = 0,
) -> str:
    """Add a key to a keys file, made ``age_days`` ago, and return what its holder sends."""
    grant = Grant(roles=roles or EVERYDAY, sites=tuple(sites), label=label, expires_days=expires_days)
    credential, _ = add_key(path, grant, now=datetime.now(UTC) - timedelta(days=age_days))
    return str(credential)


def id_of(key: str) -> str:
    """Return the public part of a key."""
    return key.split("_")[1]


def with_wrong_secret(key: str) -> str:
    """Return a key with the public part of ``key`` that opens nothing."""
    return key[:-4] + ("AAAA" if not key.endswith("AAAA") else "BBBB")


def bearer(key: str) -> dict[str, str]:
    """Return the header that carries a key."""
    return {"Authorization": f"Bearer {key}"}
