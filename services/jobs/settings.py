"""Every setting of the running system, in one place, because one environment may hold those of several processes.

Read once, in ``__main__``. Names are ``CXR_<CLASS>_<FIELD>``; an unknown ``CXR_*`` variable stops the process, because
a misspelt safety limit must not silently mean its default. ``.env.example`` and ``docs/settings.md`` are generated
from here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableSetting
from redis.connection import parse_url

from services.jobs.errors import JobsError

PREFIX = "CXR_"


class SettingsError(JobsError):
    """A setting is unknown, missing or out of bounds; the process ends at start with one line."""

    code: ClassVar[str] = "settings_error"


class RedisSettings(BaseSettings):
    """Where the queue is."""

    model_config = SettingsConfigDict(env_prefix="CXR_REDIS_", frozen=True, extra="forbid")

    url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis 6.2 or newer, one primary, AOF on. redis://, rediss:// or unix://. May carry a password.",
    )

    @field_validator("url")
    @classmethod
    def _is_one_of_redis(cls, url: SecretStr) -> SecretStr:
        try:
            parse_url(url.get_secret_value())  # type: ignore[no-untyped-call]  # redis-py annotates it only in part
        except ValueError:
            # Without the cause, whose text may quote the password.
            raise ValueError("must be a redis://, rediss:// or unix:// URL") from None
        return url


class SpoolSettings(BaseSettings):
    """Where payloads are kept."""

    model_config = SettingsConfigDict(env_prefix="CXR_SPOOL_", frozen=True, extra="forbid")

    directory: Path = Field(
        default=Path("cxr-data/spool"),
        description="Shared by gateway and workers; every payload lives here until retention.",
    )
    quota_bytes: int = Field(
        default=20 * 1024**3,
        ge=1024**2,
        description="Uploads are refused with 507 when payloads take this much. Pictures may take a fifth besides.",
    )
    minimum_free_ratio: float = Field(
        default=0.10,
        ge=0.0,
        le=0.9,
        description="Uploads are refused with 507 when less of the disk is free; pictures are lost below twice that.",
    )


class ApiSettings(BaseSettings):
    """The gateway."""

    model_config = SettingsConfigDict(env_prefix="CXR_API_", frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to bind. Anything but loopback needs a keys file.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    keys_file: Path | None = Field(
        default=None,
        description="API keys, hashed (`cxr-triage key new`). Without it the gateway is open, on loopback only.",
    )
    max_payload_bytes: int = Field(
        default=64 * 1024**2, ge=1024, description="A larger upload is cut off with 413 while it streams."
    )
    max_uploads: int = Field(
        default=32, ge=1, le=1024, description="Uploads in flight at once; one more is answered 503 with Retry-After."
    )
    upload_idle_seconds: float = Field(
        default=10.0, gt=0, le=300, description="An upload that sends nothing for this long is cut off with 408."
    )
    upload_total_seconds: float = Field(
        default=120.0, gt=0, le=3600, description="An upload that takes longer than this is cut off with 408."
    )
    routine_depth: int = Field(
        default=1000, ge=1, description="Routine films waiting; one more is refused with 503 and Retry-After."
    )
    stat_reserve: int = Field(default=200, ge=0, description="Room beyond routine_depth that only stat films may use.")
    overdue_stat_seconds: int = Field(default=120, ge=1, description="An open stat film older than this is overdue.")
    overdue_routine_seconds: int = Field(
        default=900, ge=1, description="An open routine film older than this is overdue."
    )
    log_format: Literal["json", "text"] = Field(default="json", description="json for machines, text for a terminal.")


class WorkerSettings(BaseSettings):
    """A worker."""

    model_config = SettingsConfigDict(env_prefix="CXR_WORKER_", frozen=True, extra="forbid", protected_namespaces=())

    bundle: Path | None = Field(
        default=None, description="Bundle directory to serve; the one that ships with the package where absent."
    )
    bundle_digest: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="sha256 that the bundle's manifest must have; the manifest pins every other file. A worker that "
        "finds another one does not start. Where absent, whoever can write the bundle can change its thresholds.",
    )
    operating_point: str | None = Field(
        default=None, description="Operating point of the bundle that decides; the bundle's default where absent."
    )
    minimum_age_years: float = Field(default=18.0, ge=0, le=120, description="Younger patients end not_assessed(age).")
    require_age: bool = Field(
        default=False, description="Whether a film without an age ends not_assessed(age_unknown)."
    )
    provider: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="Where the network runs. A named provider that does not become active stops the worker.",
    )
    threads: int = Field(default=0, ge=0, le=256, description="Inference threads; 0 is one per core.")
    decoders: int = Field(
        default=0, ge=0, le=256, description="Decoding child processes; 0 is one per core, at most 8."
    )
    max_batch: int = Field(default=0, ge=0, le=256, description="Films per inference; 0 is 4 on CPU, 32 on a GPU.")
    heartbeat_seconds: float = Field(default=5.0, gt=0, le=30, description="How often held films are kept alive.")
    idle_seconds: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="A film whose worker was silent for this long is given to another; several heartbeats long.",
    )
    batch_deadline_seconds: float = Field(
        default=60.0, gt=0, le=600, description="A batch that takes longer ends the worker, so that others take over."
    )
    max_crashes: int = Field(
        default=3, ge=1, le=10, description="A film that outlives more workers than this ends worker_crash."
    )
    retry_seconds: tuple[Annotated[float, Field(ge=0, le=3600)], ...] = Field(
        default=(1.0, 5.0, 25.0),
        min_length=1,
        description="Waits before each new attempt after a transient failure, as a JSON list.",
    )
    decode_seconds: float = Field(
        default=10.0,
        gt=0,
        le=120,
        description="Processor time of one film; more, or three times that on the clock, ends decode_timeout.",
    )
    decode_memory_bytes: int = Field(
        default=1024**3,
        ge=256 * 1024**2,
        description="Address space a film may use in a decoding child beyond the child's own; more ends decode_memory.",
    )
    # The bound: imagecodecs loses a reference of None with each damaged PNG, and a process has only so many.
    decodes_per_child: int = Field(
        default=200, ge=1, le=10_000, description="Films after which a decoding child is replaced."
    )
    deadline_seconds: float = Field(
        default=4 * 3600.0, gt=0, description="A film without an outcome after this long ends not_assessed(deadline)."
    )
    reconcile_seconds: float = Field(default=60.0, gt=0, le=3600, description="How often queue and spool are compared.")
    metrics_host: str = Field(default="127.0.0.1", description="Address of the worker's /metrics and /health.")
    metrics_port: int = Field(
        default=9091, ge=0, le=65535, description="Port of the worker's /metrics; 0 takes a free one."
    )
    log_format: Literal["json", "text"] = Field(default="json", description="json for machines, text for a terminal.")


SETTINGS: tuple[type[BaseSettings], ...] = (RedisSettings, SpoolSettings, ApiSettings, WorkerSettings)

_Settings = TypeVar("_Settings", bound=BaseSettings)


def variable_names() -> list[str]:
    """Return every environment variable that the system reads, in the order of the classes."""
    return [
        f"{settings.model_config['env_prefix']}{field}".upper()
        for settings in SETTINGS
        for field in settings.model_fields
    ]


def refuse_unknown_variables(environment: Mapping[str, str] = os.environ) -> None:
    """Raise ``SettingsError`` if the environment holds a ``CXR_*`` variable that nothing reads."""
    unknown = sorted({name for name in environment if name.upper().startswith(PREFIX)} - set(variable_names()))
    if unknown:
        raise SettingsError(f"unknown setting {', '.join(unknown)}; docs/settings.md lists the known ones")


def load_settings(settings: type[_Settings], **overrides: object) -> _Settings:
    """Build one settings object from the environment; ``overrides`` (from the command line) win.

    Raises
    ------
    SettingsError
        With the variable's name and what is wrong with it, never its value.
    """
    refuse_unknown_variables()
    try:
        return settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = "_".join(str(part) for part in first["loc"])
        variable = f"{settings.model_config['env_prefix']}{field}".upper()
        raise SettingsError(f"{variable}: {first['msg']}") from error
    except UnreadableSetting as error:
        # Raised before validation, where a list is no JSON; its text names the field, quoted.
        field = next((name for name in settings.model_fields if f'"{name}"' in str(error)), "*")
        raise SettingsError(f"{settings.model_config['env_prefix']}{field}".upper() + ": must be JSON") from error
