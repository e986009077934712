"""When films arrive in an open loop. Knows no service."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from enum import StrEnum


class Arrivals(StrEnum):
    """How films follow each other."""

    POISSON = "poisson"  # at random, as from many senders who know nothing of each other
    STEADY = "steady"  # at even distances


def arrival_times(kind: Arrivals, *, per_second: float, seconds: float, seed: int = 0) -> Iterator[float]:
    """Yield the seconds since the start at which films are due, in rising order, all below ``seconds``."""
    chance = random.Random(seed)
    at = 0.0
    for number in itertools.count(1):
        if kind is Arrivals.STEADY:
            # Multiplied, not added up: an hour of tenths must not drift.
            at = number / per_second
        else:
            at += chance.expovariate(per_second)
        if at >= seconds:
            return
        yield at
