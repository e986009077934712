"""How much may wait, and for how long, before somebody is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.jobs.records import Priority


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """Depths at which a submit is refused, and ages at which an open film is overdue.

    ``stat_reserve`` is room that only stat films may use; ``open_bytes`` bounds the payloads of films without an
    outcome; ``site_share`` is what one of several sites may take of the depth.
    """

    routine_depth: int = 1000
    stat_reserve: int = 200
    open_bytes: int = 8 * 1024**3
    site_share: float = 0.5
    overdue_stat_seconds: float = 120
    overdue_routine_seconds: float = 900

    def depth(self, priority: Priority) -> int:
        """Return the backlog at which a film of this priority is refused."""
        return self.routine_depth + (self.stat_reserve if priority is Priority.STAT else 0)

    def overdue_ms(self, priority: Priority) -> int:
        """Return the age in milliseconds beyond which an open film of this priority is overdue."""
        return int(1000 * (self.overdue_stat_seconds if priority is Priority.STAT else self.overdue_routine_seconds))


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """After how many seconds an open film ends ``not_assessed(deadline)``, by priority and by site.

    ``of_sites`` names sites (``icu``) or a site's priority (``icu/stat``); the narrower name wins (DESIGN §6).
    """

    stat_seconds: float = 4 * 3600.0
    routine_seconds: float = 4 * 3600.0
    of_sites: Mapping[str, float] = field(default_factory=dict)

    def of(self, site: str, priority: Priority) -> float:
        """Return the seconds that a film of this site and priority has."""
        general = self.stat_seconds if priority is Priority.STAT else self.routine_seconds
        return self.of_sites.get(f"{site}/{priority}", self.of_sites.get(site, general))
