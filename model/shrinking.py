"""A film at another size: each new pixel the mean of the area of the film that it covers, as gray.

What ``preprocess`` and ``preview`` share. One pass over the stored pixels clips, averages and scales
(PERFORMANCE.md §B finding 1); no full-size copy is made. Must not know formats, squares or networks.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.image import GrayImage
from model.kernels import GrayScale, area_means

WHITE: Final = 255.0


def shrink(image: GrayImage, rows: int, columns: int, *, extent: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """Return the film, or its first ``extent`` rows and columns, as ``(rows, columns)`` float32: 0 black, 255 white.

    Not rounded; differs from the same in double precision by less than 1e-5 of the range. Means are taken of what is
    shown, not of what is stored: what lies beyond black or white counts as these do. Neither side may grow.
    """
    return area_means(image.pixels, extent or image.pixels.shape, (rows, columns), _gray_scale(image))


def _gray_scale(image: GrayImage) -> GrayScale:
    """Return the film's levels relative to a whole number near the darkest or brightest one that it can hold.

    Differences of integers are exact in float32 up to 2^24: a narrow window far from zero loses nothing.
    """
    limits = np.iinfo(image.pixels.dtype)
    low, high = min(image.black, image.white), max(image.black, image.white)
    base = min(max(math.floor(low), limits.min), limits.max)
    first, last = image.padding or (base + 1, base)  # no value lies between 1 and 0
    return GrayScale(
        base=np.float32(base),
        low=np.float32(low - base),
        high=np.float32(high - base),
        first_padding=np.float32(first - base),
        last_padding=np.float32(last - base),
        black=np.float32(image.black - base),
        gray_per_level=np.float32(WHITE / (image.white - image.black)),
    )
