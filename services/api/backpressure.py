"""How long a caller that we turned away should wait, from how fast films are really being finished."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SHORTEST_SECONDS: Final = 1
LONGEST_SECONDS: Final = 120
_WINDOW_SECONDS: Final = 60.0
# A caller that returns when this share of the backlog is gone finds room, and the queue does not run dry meanwhile.
_SHARE_TO_WAIT_FOR: Final = 0.05
_UNKNOWN_RATE_SECONDS: Final = 10.0
# Callers that were refused together must not return together.
_JITTER: Final = 0.5


class Backpressure:
    """Counts films as they are done, and turns the rate into a Retry-After."""

    def __init__(self, *, backlog: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._backlog = backlog
        self._clock = clock
        self._started = clock()
        self._done: deque[float] = deque()

    def film_done(self) -> None:
        """Count one film that got its outcome, at whatever worker."""
        self._done.append(self._clock())
        self._forget_old()

    def films_per_second(self) -> float:
        """Return the rate over the last minute, or since start where that is shorter."""
        self._forget_old()
        return len(self._done) / max(1.0, min(_WINDOW_SECONDS, self._clock() - self._started))

    def full_queue_seconds(self) -> int:
        """Return the Retry-After of a full queue: integer seconds, 1..120, with jitter."""
        rate = self.films_per_second()
        wait = self._backlog * _SHARE_TO_WAIT_FOR / rate if rate else _UNKNOWN_RATE_SECONDS
        return with_jitter(wait)

    def _forget_old(self) -> None:
        horizon = self._clock() - _WINDOW_SECONDS
        while self._done and self._done[0] < horizon:
            self._done.popleft()


def with_jitter(seconds: float) -> int:
    """Return ``seconds`` lengthened by up to half, as an integer in 1..120."""
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, math.ceil(seconds * random.uniform(1.0, 1.0 + _JITTER))))
