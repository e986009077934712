"""The film as a reader sees it, small enough to keep: what the heat map is drawn over.

Made beside ``preprocess`` from the same decoded film, never shown to the network. Must not know formats, files or PNG.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from model.image import GrayImage
from model.shrinking import shrink

Preview: TypeAlias = NDArray[np.uint8]

# Every film costs its preview, few are looked at. For a film of 1024 by 1024 that is 0.8 ms of processor time in child
# and worker together; with a limit of 1024 it would be 2 ms, and four times the disk (2026-11-21).
PREVIEW_SIDE: Final = 768


def preview(image: GrayImage) -> Preview:
    """Return the film as ``(rows, columns)`` uint8, 0 black, 255 white, neither side above ``PREVIEW_SIDE``.

    Aspect is kept, pixels that are not square are made square, a film that says it is inverted (MONOCHROME1) is shown
    right. A film is shrunk by a whole factor, each pixel the mean of a block, and never enlarged; up to that factor
    less one of its last rows and columns are left out. What is sharp in the film stays sharp that way.
    """
    rows, columns = image.pixels.shape
    factor = max(1, int(np.ceil(max(rows * image.pixel_aspect, columns) / PREVIEW_SIDE)))
    rows, columns = rows // factor or 1, columns // factor or 1
    extent = min(rows * factor, image.pixels.shape[0]), min(columns * factor, image.pixels.shape[1])
    gray = shrink(image, rows, columns, extent=extent)
    shown = np.rint(gray, out=gray).astype(np.uint8)
    if image.pixel_aspect != 1.0:
        height = min(PREVIEW_SIDE, max(1, round(rows * image.pixel_aspect)))
        shown = np.asarray(cv2.resize(shown, (columns, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return shown
