"""Fits a decoded film into the network's square. The same function serves training and serving (DESIGN §4).

Last room before the network. Ends in uint8, so that training caches, serving tensors and golden files are the same
bytes; normalisation lives inside the graph. Must not know formats, DICOM or networks.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from model.image import GrayImage, Tensor

# OpenCV rounds an averaged integer to an integer: half a level. From this span on that is at most 2.5e-4 of the range.
_INTEGER_SPAN: Final = 2000.0
# The largest square that a network may ask for; what hands tensors on can reserve room for it.
MAX_SIDE: Final = 1024


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
    below or to the right where it is odd). Pixels are averaged first and scaled to gray afterwards: both are linear,
    so the order does not matter, except that this one rounds once (PERFORMANCE.md §B finding 1). The result does not
    depend on the number of OpenCV's threads.

    Returns
    -------
    ndarray
        ``(1, s, s)`` uint8, 0 black, 255 white; halves are rounded to even.
    """
    rows, columns = _fitted_shape(image, spec.size)
    shown = _to_gray_levels(_resize(image, rows, columns), image)
    tensor = np.zeros((1, spec.size, spec.size), dtype=np.uint8)
    top, left = (spec.size - rows) // 2, (spec.size - columns) // 2
    tensor[0, top : top + rows, left : left + columns] = shown
    return tensor


def _fitted_shape(image: GrayImage, side: int) -> tuple[int, int]:
    """Return ``(rows, columns)`` of the film within a square of ``side`` pixels, aspect kept, at least 1 each."""
    height, width = image.pixels.shape[0] * image.pixel_aspect, image.pixels.shape[1]
    scale = side / max(height, width)
    return min(side, max(1, round(height * scale))), min(side, max(1, round(width * scale)))


def _resize(image: GrayImage, rows: int, columns: int) -> NDArray[np.float32]:
    """Average the area of each new pixel; interpolate along an axis only where the film is smaller than asked for."""
    pixels: NDArray[Any] = image.pixels
    if abs(image.white - image.black) < _INTEGER_SPAN and pixels.dtype != np.float32:
        pixels = pixels.astype(np.float32)
    shrunk = min(rows, pixels.shape[0]), min(columns, pixels.shape[1])
    if shrunk != pixels.shape:
        pixels = cv2.resize(pixels, shrunk[::-1], interpolation=cv2.INTER_AREA)
    pixels = pixels.astype(np.float32)
    if shrunk != (rows, columns):
        pixels = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(pixels, dtype=np.float32)


def _to_gray_levels(pixels: NDArray[np.float32], image: GrayImage) -> NDArray[np.uint8]:
    """Scale levels to 0 .. 255: one affine that inverts too where ``black > white``."""
    scale = np.float32(255.0 / (image.white - image.black))
    shown = (pixels - np.float32(image.black)) * scale
    return np.asarray(np.clip(np.rint(shown), 0, 255), dtype=np.uint8)
