"""Kept pictures as PNG, drawn when they are asked for, and as arrays for those who draw them into something else.

Knows arrays and bytes; neither records nor HTTP. Used by the gateway, and by whoever sends results outward. Drawing
costs 6 to 45 ms of a core for a picture that somebody looks at, and the worker nothing for the many that nobody does.
OpenCV and zlib let other threads run meanwhile.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.heatmap import heat_layer, is_drawable, overlay
from model.preview import PREVIEW_SIDE
from services.jobs.errors import PictureGone
from services.jobs.pictures import film_and_model, unpack_picture

# zlib's fastest: a radiograph's noise leaves the others a tenth to gain, at three times the time.
_PNG_OPTIONS: Final = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def draw_preview(kept: bytes, *, of: str) -> bytes:
    """Return the preview as an 8-bit gray PNG; raise PictureGone where it is not what was kept."""
    return _png(preview_of(kept, of=of))


def draw_overlay(kept_preview: bytes, kept_activation: bytes, *, film: str, model: str) -> bytes:
    """Return the film with its heat over it as an RGB PNG; raise PictureGone where either is not what was kept."""
    drawn = overlay_of(kept_preview, kept_activation, film=film, model=model)
    return _png(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))


def draw_heat(kept_preview: bytes, kept_activation: bytes, *, film: str, model: str) -> bytes:
    """Return the heat alone as an RGBA PNG of the preview's size; raise PictureGone as ``draw_overlay``."""
    rows, columns = preview_of(kept_preview, of=film).shape
    drawn = heat_layer(_activation(kept_activation, film, model), (rows, columns))
    return _png(cv2.cvtColor(drawn, cv2.COLOR_RGBA2BGRA))


def overlay_of(kept_preview: bytes, kept_activation: bytes, *, film: str, model: str) -> NDArray[np.uint8]:
    """Return the film with its heat over it: ``(rows, columns, 3)`` uint8 RGB; PictureGone as in ``draw_overlay``."""
    return overlay(preview_of(kept_preview, of=film), _activation(kept_activation, film, model))


def preview_of(kept: bytes, *, of: str) -> NDArray[np.uint8]:
    """Return the preview as ``(rows, columns)`` uint8, 0 black; raise PictureGone where it is not what was kept."""
    array = unpack_picture(kept, of=of)
    if array.dtype != np.uint8 or array.ndim != 2 or not 1 <= min(array.shape) <= max(array.shape) <= PREVIEW_SIDE:
        raise PictureGone("what was kept is no preview")
    return array


def _activation(kept: bytes, film: str, model: str) -> NDArray[np.float32]:
    array = unpack_picture(kept, of=film_and_model(film=film, model=model))
    if array.dtype != np.float32 or not is_drawable(array):
        raise PictureGone("what was kept is no activation map")
    return array


def _png(pixels: NDArray[Any]) -> bytes:
    _, encoded = cv2.imencode(".png", pixels, _PNG_OPTIONS)
    return bytes(encoded)
