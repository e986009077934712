"""Settings of what gateway and workers share: Redis, spool, audit trail, deadlines and sites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.connection import parse_url


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


class AuditSettings(BaseSettings):
    """The audit trail."""

    model_config = SettingsConfigDict(env_prefix="CXR_AUDIT_", frozen=True, extra="forbid")

    directory: Path = Field(
        default=Path("cxr-data/audit"),
        description="Hash-chained files of what was done and decided, one a process; shared by gateway and workers.",
    )
    retention_days: int = Field(
        default=2192,
        ge=32,
        description="Files of ended processes are kept for so long; 2192 days are six years.",
    )


class QueueSettings(BaseSettings):
    """What becomes of films that wait."""

    model_config = SettingsConfigDict(env_prefix="CXR_QUEUE_", frozen=True, extra="forbid")

    deadline_stat_seconds: float = Field(
        default=4 * 3600.0, gt=0, description="A stat film without an outcome after this ends not_assessed(deadline)."
    )
    deadline_routine_seconds: float = Field(
        default=4 * 3600.0, gt=0, description="A routine film without one after this ends not_assessed(deadline)."
    )
    site_deadline_seconds: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description='Deadlines of single sites, as JSON: {"icu": 3600, "icu/stat": 900}; the narrower name wins.',
    )
    sites: tuple[str, ...] = Field(
        default=("default",),
        description="Sites that metrics name, as a JSON list; the films of others are counted as `other`.",
    )
