"""Fits a decoded film into the network's square. The same function serves training and serving (DESIGN §4).

Last room before the network. Ends in uint8, so that training caches, serving tensors and golden files are the same
bytes; normalisation lives inside the graph. Must not know formats, DICOM or networks.
"""

from __future__ import annotations

from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from model.image import GrayImage, Tensor
from model.shrinking import shrink

# The largest square that a network may ask for; what hands tensors on can reserve room for it.
MAX_SIDE: Final = 1024
# Another number wherever ``decode`` or ``preprocess`` begins to make other tensors of the same films, by one gray level
# too: trainings make the tensors that they keep anew. 2: means are rounded once (docs/decisions/0018-one-pass.md).
TENSORS_VERSION: Final = 2


class PreprocessingSpec(BaseModel):
    """How films become tensors; travels in the bundle's manifest, so that serving repeats training exactly.

    ``size`` is the side of the square in pixels. ``fit`` names the geometry: ``letterbox`` keeps the anatomy's aspect
    and pads with 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=28, le=MAX_SIDE)
    fit: Literal["letterbox"] = "letterbox"


def preprocess(image: GrayImage, spec: PreprocessingSpec) -> Tensor:
    """Fit the film into the network's square.

    The longer side fills the square, non-square pixels are made square, the rest is 0 on both sides (one more pixel
    below or to the right where it is odd). The result does not depend on the number of threads.

    Returns
    -------
    ndarray
        ``(1, s, s)`` uint8, 0 black, 255 white; halves are rounded to even.
    """
    rows, columns = _fitted_shape(image, spec.size)
    tensor = np.zeros((1, spec.size, spec.size), dtype=np.uint8)
    top, left = (spec.size - rows) // 2, (spec.size - columns) // 2
    tensor[0, top : top + rows, left : left + columns] = np.rint(_resize(image, rows, columns))
    return tensor


def _fitted_shape(image: GrayImage, side: int) -> tuple[int, int]:
    """Return ``(rows, columns)`` of the film within a square of ``side`` pixels, aspect kept, at least 1 each."""
    height, width = image.pixels.shape[0] * image.pixel_aspect, image.pixels.shape[1]
    scale = side / max(height, width)
    return min(side, max(1, round(height * scale))), min(side, max(1, round(width * scale)))


def _resize(image: GrayImage, rows: int, columns: int) -> NDArray[np.float32]:
    """Average the area of each new pixel; interpolate along an axis only where the film is smaller than asked for."""
    height, width = image.pixels.shape
    gray = shrink(image, min(rows, height), min(columns, width))
    if gray.shape != (rows, columns):
        gray = np.asarray(cv2.resize(gray, (columns, rows), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    return gray
