"""The two processes that connect a stack to a PACS: the C-STORE listener and delivery. Both only where asked for.

Each answers on its metrics port whether it is ready, which is how the stack knows that it has started: without it, what
is wrong with its settings would be found out after ``up`` had said that everything runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.api.listening import listen, url_of
from services.jobs.settings import DeliverySettings, DimseSettings, SettingsError, load_settings
from services.standalone.child import Child
from services.standalone.plan import PYTHON, Plan, StackOptions, environment_of

# A film on its way is taken, its sender answered; beyond CXR_DIMSE_STOP_SECONDS nobody is waited for.
_DIMSE_GRACE_SECONDS: Final = 5.0
# Sends under way have 5 s, then the trail is written.
_DELIVERY_STOP_SECONDS: Final = 15.0


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """One of them, and where it says that it is ready."""

    child: Child
    ready_url: str


def dimse_neighbour(plan: Plan, options: StackOptions) -> Neighbour | None:
    """Return the DIMSE listener, where it was asked for; raise ``SettingsError`` where its settings are wrong."""
    if not options.has_dimse:
        return None
    settings = load_settings(DimseSettings)
    child = Child(
        "dimse",
        [*PYTHON, "-m", "services.dimse"],
        {"CXR_DIMSE_LOG_FORMAT": "text"} | environment_of(plan, options),
        stop_seconds=settings.stop_seconds + _DIMSE_GRACE_SECONDS,
        log=options.log,
    )
    return Neighbour(child=child, ready_url=_ready_url("CXR_DIMSE", settings))


def delivery_neighbour(plan: Plan, options: StackOptions) -> Neighbour | None:
    """Return delivery, where it was asked for; raise ``SettingsError`` where its settings are wrong."""
    if not options.has_delivery:
        return None
    child = Child(
        "deliver",
        [*PYTHON, "-m", "services.delivery"],
        {"CXR_DELIVERY_LOG_FORMAT": "text"} | environment_of(plan, options),
        stop_seconds=_DELIVERY_STOP_SECONDS,
        log=options.log,
    )
    return Neighbour(child=child, ready_url=_ready_url("CXR_DELIVERY", load_settings(DeliverySettings)))


def _ready_url(prefix: str, settings: DimseSettings | DeliverySettings) -> str:
    if settings.metrics_port == 0:
        raise SettingsError(f"{prefix}_METRICS_PORT is 0, but `up` asks there whether all is ready; name a port")
    # Refused where the port is taken: whoever else listens there would be asked in its place.
    with listen(settings.metrics_host, settings.metrics_port) as probe:
        return f"{url_of(probe)}/health/ready"
