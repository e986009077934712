"""How much may wait, and for how long, before somebody is told."""

from __future__ import annotations

from dataclasses import dataclass

from services.jobs.records import Priority


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """Depths at which a submit is refused, and ages at which an open film is overdue.

    ``stat_reserve`` is room that only stat films may use.
    """

    routine_depth: int = 1000
    stat_reserve: int = 200
    overdue_stat_seconds: float = 120
    overdue_routine_seconds: float = 900

    def depth(self, priority: Priority) -> int:
        """Return the backlog at which a film of this priority is refused."""
        return self.routine_depth + (self.stat_reserve if priority is Priority.STAT else 0)

    def overdue_ms(self, priority: Priority) -> int:
        """Return the age in milliseconds beyond which an open film of this priority is overdue."""
        return int(1000 * (self.overdue_stat_seconds if priority is Priority.STAT else self.overdue_routine_seconds))
