"""One case for promtool: what differs from the healthy installation, and what one alert does about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.alert_series import HEALTHY, Series, Value


@dataclass(frozen=True, kw_only=True)
class Case:
    """What Prometheus knows, and whether ``alert`` fires after so many minutes: once for each of ``labels``, or not."""

    alert: str
    story: str
    series: Series = field(default_factory=dict)
    labels: tuple[Mapping[str, str], ...] | None = None
    also: frozenset[str] = frozenset()
    minutes: float = 30
    minutes_apart: float = 1


def fires(alert: str, story: str, series: Series, *labels: Mapping[str, str], also: str = "", **clock: float) -> Case:
    """Return a fault; without ``labels`` the alert has none but its severity."""
    return Case(alert=alert, story=story, series=series, labels=labels or ({},), also=frozenset(also.split()), **clock)


def calm(alert: str, story: str, series: Series, *, also: str = "", **clock: float) -> Case:
    """Return what the alert must not fire at."""
    return Case(alert=alert, story=story, series=series, also=frozenset(also.split()), **clock)


def held_by(part: str) -> dict[str, str]:
    """Return the labels of a process as Prometheus hands them to an alert."""
    return dict(pair.replace('"', "").split("=") for pair in part.split(","))


def counters(part: str, value: Value | None) -> dict[str, Value | None]:
    """Let every counter of the healthy installation with ``part`` in its name have this course."""
    return {name: value for name in HEALTHY if part in name}
