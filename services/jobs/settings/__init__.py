"""Every setting of the running system, in one room, because one environment may hold those of several processes.

Read once, in ``__main__``. Names are ``CXR_<CLASS>_<FIELD>``; an unknown ``CXR_*`` variable stops the process, because
a misspelt safety limit must not silently mean its default. ``.env.example`` and ``docs/settings.md`` are generated
from here.
"""

from services.jobs.settings.api import ApiSettings
from services.jobs.settings.delivery import DeliverySettings
from services.jobs.settings.dimse import DimseSettings
from services.jobs.settings.loading import (
    PREFIX,
    SETTINGS,
    SettingsError,
    is_loopback,
    load_settings,
    refuse_unknown_variables,
    variable_names,
)
from services.jobs.settings.shared import AuditSettings, QueueSettings, RedisSettings, SpoolSettings
from services.jobs.settings.worker import WorkerSettings

__all__ = [
    "PREFIX",
    "SETTINGS",
    "ApiSettings",
    "AuditSettings",
    "DeliverySettings",
    "DimseSettings",
    "QueueSettings",
    "RedisSettings",
    "SettingsError",
    "SpoolSettings",
    "WorkerSettings",
    "is_loopback",
    "load_settings",
    "refuse_unknown_variables",
    "variable_names",
]
