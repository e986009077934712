"""Age and sex as a network takes them. One function for training and serving, as for pixels.

Report 004 scaled age by 100 and gave sex one number; what is not known is NaN, and the graph puts the mean of its
training patients there.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

AgeSex: TypeAlias = NDArray[np.float32]

_YEARS: Final = 100.0
_SEX: Final = {"M": 1.0, "F": 0.0}
# PROTOCOLS §3: an age beyond this is a slip of somebody's keyboard. DICOM can write 999Y, NIH's table of 2017 has 414.
OLDEST_YEARS: Final = 120.0


def encode_age_sex(age_years: float | None, sex: str | None) -> AgeSex:
    """Return ``(2,)`` float32: age / 100, and 1 for ``M``, 0 for ``F``; NaN for what is unknown or cannot be.

    An age below 0 or above ``OLDEST_YEARS`` counts as unknown, as does any other letter for sex (DICOM (0010,0040)
    ``O``).
    """
    is_known = age_years is not None and 0 <= age_years <= OLDEST_YEARS
    age = age_years / _YEARS if age_years is not None and is_known else np.nan
    return np.array([age, _SEX.get((sex or "").strip().upper(), np.nan)], dtype=np.float32)


def unknown_age_sex(films: int) -> AgeSex:
    """Return ``(films, 2)`` float32 of NaN: films of whose patients nobody said anything."""
    return np.full((films, 2), np.nan, dtype=np.float32)
