"""One figure with its uncertainty, as ``report.json`` holds it and as people read it.

A figure is ``{"value", "low", "high", "note"}``; ``note`` says why there is no value. A proportion also has its counts
and exact binomial bounds. Below all that reports, above the mathematics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.statistics.intervals import exact_interval, interval
from training.statistics.metrics import Flags, Floats

Figure: TypeAlias = dict[str, Any]

# Below this, a ratio says more about who happened to come than about the network; sites see it per subgroup.
MINIMUM_PATIENTS = 10


def figure(value: float | None, draws: Floats) -> Figure:
    """Return a value with the central 95 % of its bootstrap ``draws`` ``(b,)``."""
    if value is None:
        return missing("undefined")
    bounds = interval(draws)
    low, high = bounds if bounds is not None else (None, None)
    return {"value": value, "low": low, "high": high, "note": None}


def missing(note: str) -> Figure:
    """Return the figure that is not there, and why."""
    return {"value": None, "low": None, "high": None, "note": note}


def too_few(patients: NDArray[np.str_], counted: Mapping[str, Flags]) -> str | None:
    """Return why a figure should not be printed, or ``None``.

    ``counted`` names the films ``(n,)`` that a figure divides by ("unhealthy", "flagged"); each takes films of
    ``MINIMUM_PATIENTS`` patients.
    """
    for name, chosen in counted.items():
        count = len(np.unique(patients[chosen]))
        if count < MINIMUM_PATIENTS:
            return f"n too small: {count} {name} patients"
    return None


def proportion(part: Flags, whole: Flags, draws: Floats, *, note: str | None) -> Figure:
    """Return the share of the films ``whole`` that are also ``part``, with counts and exact bounds.

    The exact bounds take films as independent; where patients have several they are too narrow and the bootstrap
    counts. With a ``note`` no value is given, but counts and bounds still are.
    """
    count, of = int(np.sum(part & whole)), int(np.sum(whole))
    exact = exact_interval(count, of)
    shown = missing(note) if note is not None else figure(count / of if of else None, draws)
    return {
        **shown,
        "count": count,
        "of": of,
        "exact_low": None if exact is None else exact[0],
        "exact_high": None if exact is None else exact[1],
    }


def show(shown: Mapping[str, Any]) -> str:
    """Return a figure with its interval as people read it; its note where there is no value."""
    if shown["value"] is None:
        return str(shown["note"])
    if shown["low"] is None or shown["high"] is None:
        return f"{shown['value']:.3f}"
    return f"{shown['value']:.3f} ({shown['low']:.3f} to {shown['high']:.3f})"
