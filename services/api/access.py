"""Who may call: API keys, stored hashed, sent as Bearer or as the password of Basic.

Without keys the gateway is open, and then it may only be bound to loopback. Roles, sites and expiry of a key are not
known here yet; the file's format has room for them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import os
import re
import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.api.errors import Unauthenticated
from services.jobs.settings import SettingsError

_KEY: Final = re.compile(r"cxr_([0-9a-z]{8,16})_([A-Za-z0-9_-]{43,86})")
_SECRET_BYTES: Final = 32  # 256 bits (RELIABILITY.md §4)
_ADVICE: Final = "Send a valid API key: `Authorization: Bearer cxr_…`, or Basic with the key as password."


class StoredKey(BaseModel):
    """A key as the file has it. The secret itself is nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(pattern=r"^[0-9a-z]{8,16}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created_at: datetime


class KeysFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    keys: tuple[StoredKey, ...]


class KeyRing:
    """The keys that are accepted."""

    def __init__(self, keys: tuple[StoredKey, ...]) -> None:
        self._digests = {key.id: key.sha256 for key in keys}

    def authenticate(self, authorization: str | None) -> str:
        """Return the id of the key in an ``Authorization`` header.

        Raises
        ------
        Unauthenticated
            If there is none, or not one of ours. Says no more than that.
        """
        match = _KEY.fullmatch(_credential(authorization or ""))
        if match is None:
            raise Unauthenticated(_ADVICE)
        key_id, secret = match.groups()
        # An unknown id costs the same comparison as a wrong secret, so that time does not tell ids apart.
        expected = self._digests.get(key_id, "0" * 64)
        if not hmac.compare_digest(_digest(secret), expected):
            raise Unauthenticated(_ADVICE)
        return key_id


def _credential(authorization: str) -> str:
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def read_keys(path: Path) -> tuple[StoredKey, ...]:
    """Return the keys of a file.

    Raises
    ------
    SettingsError
        If it cannot be read, is no keys file, or holds no key: an empty set would let nobody in.
    """
    try:
        keys = KeysFile.model_validate_json(path.read_bytes()).keys
    except OSError as error:
        raise SettingsError(f"cannot read the keys file {path}: {error.strerror}") from error
    except ValidationError as error:
        raise SettingsError(f"{path} is no keys file; `cxr-triage key new --file {path}` makes one") from error
    if not keys:
        raise SettingsError(f"{path} holds no key; `cxr-triage key new --file {path}` adds one")
    return keys


def new_key(path: Path) -> str:
    """Add a key to the file, which is made (mode 0600) where it is absent, and return the key. It is shown only once.

    Raises
    ------
    SettingsError
        If the file exists and is no keys file, or cannot be written.
    """
    keys = read_keys(path) if path.exists() else ()
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES)
    added = StoredKey(id=key_id, sha256=_digest(secret), created_at=datetime.now(UTC))
    document = json.dumps(KeysFile(keys=(*keys, added)).model_dump(mode="json"), indent=2) + "\n"
    try:
        # mkstemp's 0600, then one rename: a gateway that reads meanwhile sees the old file or the new one.
        descriptor, staging = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        Path(staging).rename(path)
    except OSError as error:
        raise SettingsError(f"cannot write the keys file {path}: {error.strerror}") from error
    return f"cxr_{key_id}_{secret}"


def key_ring(host: str, keys_file: Path | None) -> KeyRing | None:
    """Return the keys to check requests with, or ``None`` for a gateway that is open on loopback.

    Raises
    ------
    SettingsError
        If the address is not loopback and there are no keys, or the file is unusable.
    """
    if keys_file is not None:
        return KeyRing(read_keys(keys_file))
    if not is_loopback(host):
        raise SettingsError(
            f"CXR_API_HOST is {host}, which others can reach, but there are no API keys; "
            "set CXR_API_KEYS_FILE (`cxr-triage key new --file FILE` makes one)"
        )
    return None


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
