"""The keys file: what is kept of each key, and the only two ways to change it.

Version 2 is a JSON document ``{"version": 2, "keys": [...]}``. Files of 0.1.0, without a version, are read as well:
their keys may submit, read and scrape at every site, and never expire. Changes are made under a lock and by one rename,
so that two commands at once lose no key and a gateway never reads half a file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.api.access.credentials import Credential, new_credential
from services.api.scopes import SITE_PATTERN, Role
from services.jobs.settings import SettingsError

LONGEST_DAYS: Final = 365
LABEL_PATTERN: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,38}[A-Za-z0-9])?$"
_MOST_BYTES: Final = 4 * 1024**2
_ROLES_OF_0_1_0: Final = (Role.SUBMIT, Role.READ, Role.METRICS)


class StoredKey(BaseModel):
    """A key as the file has it; the secret itself is nowhere. ``sites`` is ``None`` for every site.

    ``expires_at`` is ``None`` only for keys that 0.1.0 made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(pattern=r"^[0-9a-z]{8,16}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    roles: tuple[Role, ...] = Field(min_length=1)
    sites: tuple[Annotated[str, Field(pattern=SITE_PATTERN)], ...] | None = Field(default=None, min_length=1)
    label: str | None = Field(default=None, pattern=LABEL_PATTERN)
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _expires_in_time(self) -> Self:
        if self.expires_at is not None and self.expires_at - self.created_at > timedelta(days=LONGEST_DAYS):
            raise ValueError(f"a key lives {LONGEST_DAYS} days at most")
        return self

    def is_valid(self, now: datetime) -> bool:
        """Return whether the key opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def state(self, now: datetime) -> str:
        """Return ``valid``, ``revoked`` or ``expired``."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if self.is_valid(now) else "expired"


class KeysFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[2] = 2
    keys: tuple[StoredKey, ...]

    @model_validator(mode="after")
    def _names_each_key_once(self) -> Self:
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("two keys have one id")
        return self


class _KeyOf010(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    sha256: str
    created_at: datetime

    def today(self) -> StoredKey:
        created_at = self.created_at if self.created_at.tzinfo else self.created_at.replace(tzinfo=UTC)
        return StoredKey(id=self.id, sha256=self.sha256, roles=_ROLES_OF_0_1_0, created_at=created_at, expires_at=None)


class _FileOf010(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    keys: tuple[_KeyOf010, ...]


class _Version(BaseModel):
    version: int | None = None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a new key is for. ``sites`` is empty for every site."""

    roles: tuple[Role, ...]
    sites: tuple[str, ...] = ()
    label: str | None = None
    expires_days: int = LONGEST_DAYS


def parse_keys(content: bytes) -> tuple[StoredKey, ...]:
    """Return the keys of a file's content; raise ``ValidationError`` where it is no keys file."""
    if _Version.model_validate_json(content).version is None:
        return tuple(key.today() for key in _FileOf010.model_validate_json(content).keys)
    return KeysFile.model_validate_json(content).keys


def read_content(path: Path) -> bytes:
    """Return what is in a keys file; raise ``OSError``, also where it is larger than any keys file."""
    # Not blocking: a pipe in its place would have us wait for somebody who writes into it.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(errno.EFBIG, "too large for a keys file")
    return content


def read_keys(path: Path) -> tuple[StoredKey, ...]:
    """Return the keys of a file, also those that are no longer valid.

    Raises
    ------
    SettingsError
        If it cannot be read or is no keys file. Names the first fault's place, never its content.
    """
    try:
        return parse_keys(read_content(path))
    except OSError as error:
        raise SettingsError(f"cannot read the keys file {path}: {error.strerror}") from error
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors(include_url=False, include_input=False)[0]["loc"])
        raise SettingsError(
            f"{path} is no keys file{f' (at {place})' if place else ''}; "
            f"`cxr-triage key new --file {path} --role submit` makes one"
        ) from error


def add_key(path: Path, grant: Grant, *, now: datetime | None = None) -> tuple[Credential, StoredKey]:
    """Add a key to the file, which is made (mode 0600) where it is absent; its secret is returned this once.

    Raises
    ------
    SettingsError
        If the file exists and is no keys file, cannot be written, or the grant is none.
    """
    created_at = (now or datetime.now(UTC)).replace(microsecond=0)
    credential = new_credential()
    try:
        added = StoredKey(
            id=credential.id,
            sha256=credential.sha256,
            roles=tuple(role for role in Role if role in grant.roles),
            sites=tuple(sorted(set(grant.sites))) or None,
            label=grant.label,
            created_at=created_at,
            expires_at=created_at + timedelta(days=grant.expires_days),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise SettingsError(f"{'.'.join(str(part) for part in first['loc']) or 'key'}: {first['msg']}") from error
    with _changing(path) as keys:
        keys.append(added)
    return credential, added


def revoke_key(path: Path, key_id: str, *, now: datetime | None = None) -> StoredKey:
    """Revoke a key; one that is revoked already stays as it is.

    Raises
    ------
    SettingsError
        If the file has no such key, is no keys file, or cannot be written.
    """
    with _changing(path) as keys:
        at = next((at for at, key in enumerate(keys) if key.id == key_id), None)
        if at is None:
            raise SettingsError(f"{path} has no key of this id; `cxr-triage key list --file {path}` shows those it has")
        if keys[at].revoked_at is None:
            keys[at] = keys[at].model_copy(update={"revoked_at": now or datetime.now(UTC).replace(microsecond=0)})
        return keys[at]


@contextmanager
def _changing(path: Path) -> Iterator[list[StoredKey]]:
    """Hold the file's lock, and write the keys back whole after the block."""
    try:
        # Beside the file, because the rename gives the file itself another inode under those who wait.
        with path.with_name(f".{path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = list(read_keys(path)) if path.exists() else []
            yield keys
            _write(path, KeysFile(keys=tuple(keys)))
    except OSError as error:
        raise SettingsError(f"cannot write the keys file {path}: {error.strerror}") from error


def _write(path: Path, document: KeysFile) -> None:
    # mkstemp's 0600, then one rename: a gateway that reads meanwhile sees the old file or the new one.
    descriptor, staging = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            _keep_readers(path, descriptor)
            file.write(document.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(staging).rename(path)
    except BaseException:
        Path(staging).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # a revocation that was reported must not come back with the power
    finally:
        os.close(directory)


def _keep_readers(path: Path, descriptor: int) -> None:
    """Give the new file the owner and mode of the old one: root may make keys that the service's user reads."""
    try:
        old = path.stat()
    except FileNotFoundError:
        return
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, old.st_mode & 0o777)
