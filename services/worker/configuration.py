"""Every setting that a worker reads, read once."""

from __future__ import annotations

from dataclasses import dataclass

from services.jobs.settings import (
    AuditSettings,
    QueueSettings,
    RedisSettings,
    SpoolSettings,
    WorkerSettings,
    load_settings,
)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The settings by their classes; the environment may hold those of other processes, too."""

    worker: WorkerSettings
    redis: RedisSettings
    spool: SpoolSettings
    queue: QueueSettings
    audit: AuditSettings

    @classmethod
    def load(cls) -> Configuration:
        """Read the environment; raise ``SettingsError`` where it is wrong."""
        return cls(
            worker=load_settings(WorkerSettings),
            redis=load_settings(RedisSettings),
            spool=load_settings(SpoolSettings),
            queue=load_settings(QueueSettings),
            audit=load_settings(AuditSettings),
        )
