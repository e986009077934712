"""What a film's pixels must be, in double precision and without any of the product's short cuts: the slow way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.image import GrayImage


def exact_gray(image: GrayImage) -> NDArray[np.float64]:
    """Return the film at its full size, 0 black to 255 white: every single pixel windowed, clipped and inverted."""
    stored = image.pixels.astype(np.float64)
    gray = np.clip((stored - image.black) / (image.white - image.black), 0.0, 1.0) * 255.0
    if image.padding is not None:
        gray[(stored >= image.padding[0]) & (stored <= image.padding[1])] = 0.0
    return gray


def area_mean(full: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """Return ``(rows, columns)``: the mean of the area of ``full`` that each new pixel covers, by overlap."""
    return _shares(full.shape[0], rows) @ full @ _shares(full.shape[1], columns).T


def _shares(size: int, parts: int) -> NDArray[np.float64]:
    """Return ``(parts, size)``: which share of each part every pixel of a line is."""
    edges = np.arange(parts + 1) * size / parts
    first = np.maximum(edges[:-1, np.newaxis], np.arange(size))
    last = np.minimum(edges[1:, np.newaxis], np.arange(1, size + 1))
    return np.clip(last - first, 0.0, None) * parts / size
