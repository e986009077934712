"""The decoded film: what ``decode`` returns, ``gate`` looks at and ``preprocess`` fits into the network's square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16] | NDArray[np.float32]
Tensor: TypeAlias = NDArray[np.uint8]

# A film whose pixels spread over less than this share of its range shows nothing: it is ``blank``. Decoding asks it of
# the pixels beside the padding, which only decoding knows; the gate asks it of every film.
LEAST_CONTRAST: Final = 0.02


@dataclass(frozen=True, kw_only=True)
class GrayImage:
    """A gray film at its own depth, already clipped to its window.

    Attributes
    ----------
    pixels
        ``(rows, columns)``, uint8, uint16, int16 or float32. Every value lies between ``black`` and ``white``;
        padding holds ``black``.
    black, white
        The stored levels that are shown black and white. ``black > white`` is how an inverted film (MONOCHROME1)
        says so: one affine at the network's small size then does scaling and inversion, and area averaging before
        it is exact because averaging commutes with an affine (PERFORMANCE.md §B finding 1). ``black != white``.
    pixel_aspect
        Height of a pixel over its width (DICOM's vertical/horizontal order); 1.0 where square or unknown.
    """

    pixels: Pixels
    black: float
    white: float
    pixel_aspect: float = 1.0
