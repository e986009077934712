"""Reads settings from the environment, strictly."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import ClassVar, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings
from pydantic_settings.exceptions import SettingsError as UnreadableSetting

from services.jobs.errors import JobsError
from services.jobs.settings.api import ApiSettings
from services.jobs.settings.delivery import DeliverySettings
from services.jobs.settings.dimse import DimseSettings
from services.jobs.settings.shared import AuditSettings, QueueSettings, RedisSettings, SpoolSettings
from services.jobs.settings.worker import WorkerSettings

PREFIX = "CXR_"


class SettingsError(JobsError):
    """A setting is unknown, missing or out of bounds; the process ends at start with one line."""

    code: ClassVar[str] = "settings_error"


SETTINGS: tuple[type[BaseSettings], ...] = (
    RedisSettings,
    SpoolSettings,
    AuditSettings,
    QueueSettings,
    ApiSettings,
    WorkerSettings,
    DimseSettings,
    DeliverySettings,
)

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
        if not first["loc"]:  # two settings that contradict each other; the message names both
            raise SettingsError(str(first["ctx"]["error"])) from error
        field = "_".join(str(part) for part in first["loc"])
        variable = f"{settings.model_config['env_prefix']}{field}".upper()
        raise SettingsError(f"{variable}: {first['msg']}") from error
    except UnreadableSetting as error:
        # Raised before validation, where a list is no JSON; its text names the field, quoted.
        field = next((name for name in settings.model_fields if f'"{name}"' in str(error)), "*")
        raise SettingsError(f"{settings.model_config['env_prefix']}{field}".upper() + ": must be JSON") from error


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
