"""Every setting that the listener reads, read once."""

from __future__ import annotations

from dataclasses import dataclass

from services.jobs.settings import (
    ApiSettings,
    AuditSettings,
    DimseSettings,
    RedisSettings,
    SettingsError,
    SpoolSettings,
    is_loopback,
    load_settings,
)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The settings by their classes; the environment may hold those of other processes, too."""

    dimse: DimseSettings
    api: ApiSettings
    redis: RedisSettings
    spool: SpoolSettings
    audit: AuditSettings

    @classmethod
    def load(cls) -> Configuration:
        """Read the environment; raise ``SettingsError`` where it is wrong, or would let everybody in."""
        dimse = load_settings(DimseSettings)
        if not dimse.callers and not is_loopback(dimse.host):
            raise SettingsError(
                f"CXR_DIMSE_HOST is {dimse.host}, which others can reach, but CXR_DIMSE_CALLERS names nobody; "
                'name the AE titles that may send, with their sites: {"CR_ROOM_1": "default"}'
            )
        return cls(
            dimse=dimse,
            api=load_settings(ApiSettings),
            redis=load_settings(RedisSettings),
            spool=load_settings(SpoolSettings),
            audit=load_settings(AuditSettings),
        )
