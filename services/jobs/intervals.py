"""A share that was measured, with its interval.

Owns the arithmetic only; who counts says what of.
"""

from __future__ import annotations

import math
from typing import Final

from pydantic import BaseModel, ConfigDict

# The 97.5th percentile of the normal distribution: intervals of 95 %.
_Z: Final = 1.959963984540054


class Estimate(BaseModel):
    """A share of ``n`` cases, with its 95 % interval."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    value: float
    low: float
    high: float
    n: int


def wilson(hits: int, n: int) -> Estimate | None:
    """Return ``hits`` of ``n`` with Wilson's score interval (JASA 1927;22:209); ``None`` where nothing was counted."""
    if n == 0:
        return None
    share, spread = hits / n, _Z * _Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    # At the ends the exact bound is the end itself; rounding must not step beyond the value.
    return Estimate(value=share, low=max(0.0, min(centre - half, share)), high=min(1.0, max(centre + half, share)), n=n)
