"""Where results go: the operator's targets file, parsed strictly. Knows no protocol; nothing is connected here.

An address comes from this file alone, never from a film or a request (no server-side request forgery). Credentials
are named, not written: by a file, or by an environment variable. What is wrong is one line that quotes no value.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from model.decision import Outcome
from services.delivery.errors import TargetsInvalid
from services.jobs.settings import PREFIX

NAME_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?$"
_SITE_PATTERN: Final = r"^[a-z0-9._-]{1,32}$"
_AE_TITLE_PATTERN: Final = r"^[\x21-\x5b\x5d-\x7e](?:[\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?$"
_MOST_BYTES: Final = 64 * 1024
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class ObjectKind(StrEnum):
    """What a DICOM target is sent of each film."""

    REPORT = "report"  # the structured report
    OVERLAY = "overlay"  # the secondary capture with the heat map; only films that have one


class Secret(BaseModel):
    """A credential by name: exactly one of a file and an environment variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    file: Path | None = None
    env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")

    @model_validator(mode="after")
    def _has_one_source(self) -> Secret:
        if (self.file is None) == (self.env is None):
            raise ValueError("needs exactly one of `file` and `env`")
        if self.env is not None and self.env.startswith(PREFIX):
            raise ValueError(f"{PREFIX}* are settings, and an unknown one stops every process: choose another name")
        return self

    def read(self, environment: Mapping[str, str] = os.environ) -> SecretStr:
        """Return the credential; raise ``ValueError``, which names the source and never the value."""
        if self.env is not None:
            value = environment.get(self.env, "")
            source = f"the variable {self.env}"
        else:
            assert self.file is not None
            value, source = _content(self.file), str(self.file)
        if not value.strip():
            raise ValueError(f"{source} holds no credential")
        return SecretStr(value.strip())


class Tls(BaseModel):
    """Whom a target's certificate must come from, and who we are. Certificates are always verified."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _key_and_certificate_belong_together(self) -> Tls:
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("`key_file` needs `certificate_file`")
        return self


class _Target(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME_PATTERN)
    outcomes: frozenset[Outcome] = Field(default=frozenset(Outcome), min_length=1)
    sites: frozenset[Annotated[str, Field(pattern=_SITE_PATTERN)]] | None = Field(default=None, min_length=1)
    tls: Tls | None = None

    def wants(self, site: str) -> bool:
        """Return whether films of this site concern the target."""
        return self.sites is None or site in self.sites


class StowTarget(_Target):
    """A DICOMweb server; ``address`` is the base that ``/studies`` is appended to."""

    kind: Literal["stow"]
    address: str
    objects: frozenset[ObjectKind] = Field(default=frozenset(ObjectKind), min_length=1)
    user: str | None = Field(default=None, pattern=r"^[\x21-\x39\x3b-\x7e]+$")  # a colon ends a user's name (RFC 7617)
    password: Secret | None = None
    token: Secret | None = None

    @field_validator("address")
    @classmethod
    def _is_http(cls, address: str) -> str:
        return _http_address(address).rstrip("/")

    @model_validator(mode="after")
    def _has_one_credential(self) -> StowTarget:
        if (self.user is None) != (self.password is None):
            raise ValueError("`user` and `password` belong together")
        if self.user is not None and self.token is not None:
            raise ValueError("give `user` and `password`, or `token`, not both")
        if (self.user or self.token) and not _is_private(self.address):
            raise ValueError("credentials need https:// (or this machine's own address)")
        return self


class CStoreTarget(_Target):
    """A DICOM node; ``address`` is ``host:port``."""

    kind: Literal["cstore"]
    address: str
    called_ae_title: str = Field(pattern=_AE_TITLE_PATTERN)
    calling_ae_title: str = Field(default="CXR_TRIAGE", pattern=_AE_TITLE_PATTERN)
    objects: frozenset[ObjectKind] = Field(default=frozenset(ObjectKind), min_length=1)

    @field_validator("address")
    @classmethod
    def _names_host_and_port(cls, address: str) -> str:
        match = re.fullmatch(r"(?P<host>[A-Za-z0-9.:_\[\]-]+):(?P<port>\d{1,5})", address)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise ValueError("must be host:port")
        return address

    @property
    def host(self) -> str:
        """Name or address, without the brackets of IPv6."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """TCP port."""
        return int(self.address.rpartition(":")[2])


class WebhookTarget(_Target):
    """Somebody who wants to hear that there is something to fetch; signed, without patient data."""

    kind: Literal["webhook"]
    address: str
    secret: Secret

    @field_validator("address")
    @classmethod
    def _is_http(cls, address: str) -> str:
        return _http_address(address)


Target: TypeAlias = StowTarget | CStoreTarget | WebhookTarget


class _TargetsFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    target: tuple[Annotated[Target, Field(discriminator="kind")], ...] = Field(min_length=1, max_length=32)

    @model_validator(mode="after")
    def _names_each_once(self) -> _TargetsFile:
        if len({target.name for target in self.target}) != len(self.target):
            raise ValueError("two targets have one name")
        return self


def read_targets(path: Path | None) -> tuple[Target, ...]:
    """Return the targets of a file.

    Raises
    ------
    TargetsInvalid
        If there is none, it cannot be read, or is wrong: one line, with the place and without any value.
    """
    if path is None:
        raise TargetsInvalid("CXR_DELIVERY_TARGETS_FILE: no targets file; there is nobody to deliver to")
    try:
        document = tomllib.loads(_content(path))
        return _TargetsFile.model_validate(document).target
    except ValidationError as error:
        raise TargetsInvalid(f"{path}: {_first_of(error.errors(include_url=False, include_input=False))}") from None
    except ValueError as error:  # no TOML, not UTF-8, or not to be read; TOML's own text tells the place, not the value
        raise TargetsInvalid(f"{path}: {_one_line(error)}") from None


def _first_of(errors: list[ErrorDetails]) -> str:
    place = ".".join(str(part) for part in errors[0]["loc"] if part not in {"stow", "cstore", "webhook"})
    return f"{place}: {errors[0]['msg']}" if place else errors[0]["msg"]


def _one_line(error: ValueError) -> str:
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).splitlines()[0]


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path} is too large")
    return content.decode("utf-8")


def _http_address(address: str) -> str:
    pattern = r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[\x21\x24-\x3e\x40-\x7e]*)?"
    if re.fullmatch(pattern, address) is None:
        raise ValueError("must be http:// or https://, a host and a path; no user, query or fragment in it")
    return address


def _is_private(address: str) -> bool:
    """Return whether what is sent there cannot be read on the way."""
    parts = urlsplit(address)
    return parts.scheme == "https" or parts.hostname in _LOOPBACK
