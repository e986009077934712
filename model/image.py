"""The decoded film: what ``decode`` returns, ``gate`` looks at and ``preprocess`` fits into the network's square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16]
Tensor: TypeAlias = NDArray[np.uint8]

# A film whose pixels spread over less than this share of its range shows nothing: it is ``blank``. Decoding asks it of
# the pixels beside the padding, which only decoding knows; the gate asks it of every film.
LEAST_CONTRAST: Final = 0.02


@dataclass(frozen=True, kw_only=True)
class GrayImage:
    """A gray film at its own depth: stored values, and what they look like.

    Attributes
    ----------
    pixels
        ``(rows, columns)``, uint8, uint16 or int16, where they lie: often in the payload itself, then read-only. What
        is beyond ``black`` and ``white`` is shown as these are; nobody has clipped it yet, because that would cost a
        pass over the whole film (docs/decisions/0018-one-pass.md).
    black, white
        The stored levels that are shown black and white. ``black > white`` is how an inverted film (MONOCHROME1)
        says so. ``black != white``; both may lie outside of what ``pixels`` can hold.
    padding
        First and last of the stored values that are no picture and are shown black; ``None`` where there are none.
    pixel_aspect
        Height of a pixel over its width (DICOM's vertical/horizontal order); 1.0 where square or unknown.
    reduction
        By how much either side was shrunk while decoding, rounded up: a codec that can decode at a fraction of the
        size was asked to. 1 where every pixel of the file was decoded.
    """

    pixels: Pixels
    black: float
    white: float
    padding: tuple[int, int] | None = None
    pixel_aspect: float = 1.0
    reduction: int = 1

    def shown(self) -> NDArray[np.float32]:
        """Return every pixel as a reader sees it: float32 from 0, black, to 1, white. Slow: ask it of small films."""
        shown = self.pixels.astype(np.float32)
        shown -= np.float32(self.black)
        shown /= np.float32(self.white - self.black)
        np.clip(shown, 0.0, 1.0, out=shown)
        if self.padding is not None:
            shown[(self.pixels >= self.padding[0]) & (self.pixels <= self.padding[1])] = 0.0
        return shown
