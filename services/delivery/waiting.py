"""How long until the next attempt: exponential backoff with full jitter. Knows no clock; Redis' measures the wait.

Full jitter spreads the attempts of many results over the whole wait, so that a target that comes back is not met by
all of them at once (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_MOST_DOUBLINGS = 40  # beyond, any longest wait is reached; keeps the power a small number


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Waits that grow from ``first_seconds`` to ``longest_seconds``."""

    first_seconds: float
    longest_seconds: float

    def bound(self, failures: int) -> float:
        """Return the longest wait after this many failures in a row, in seconds; 0 before the first."""
        if failures < 1:
            return 0.0
        return min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))

    def wait(self, failures: int, *, at_least: float = 0.0) -> float:
        """Return a wait between 0 and the bound, in seconds; at least what the target asked for, up to the longest."""
        drawn = random.uniform(0.0, self.bound(failures))
        return max(drawn, min(at_least, self.longest_seconds))
