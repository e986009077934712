"""Every setting that delivery reads, read once."""

from __future__ import annotations

from dataclasses import dataclass

from services.delivery.targets import Target, read_targets
from services.jobs.settings import AuditSettings, DeliverySettings, RedisSettings, SpoolSettings, load_settings


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The settings by their classes, and the targets that they name."""

    delivery: DeliverySettings
    redis: RedisSettings
    spool: SpoolSettings
    audit: AuditSettings
    targets: tuple[Target, ...]

    @classmethod
    def load(cls) -> Configuration:
        """Read the environment and the targets file; raise ``SettingsError`` where either is wrong."""
        delivery = load_settings(DeliverySettings)
        return cls(
            delivery=delivery,
            redis=load_settings(RedisSettings),
            spool=load_settings(SpoolSettings),
            audit=load_settings(AuditSettings),
            targets=read_targets(delivery.targets_file),
        )
