"""Decodes PNG and JPEG films: gray as it is, colour only where it is gray in disguise.

A raster film says nothing of windows, so that its dtype's range is its full range (DESIGN §4). Sits beside the DICOM
modules and shares ``codecs`` with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.decoding.exif import read_orientation, upright
from model.decoding.header import Header, ImageFormat
from model.decoding.jpeg import decode_jpeg
from model.decoding.png import decode_png
from model.decoding.source import corrupt
from model.errors import Reason, UnsuitableImage
from model.image import GrayImage

# Largest difference between the channels of a pixel that still counts as gray, of 255: the rounding of JPEG's colour
# transform stays below; an annotation in colour, which a film does not have, does not.
_CHROMA_TOLERANCE: Final = 8


def decode_raster(content: bytes, header: Header, *, reduction: int = 1) -> GrayImage:
    """Decode a PNG or JPEG; black is 0, white the largest value of its depth.

    Transparent pixels are composited over black. A JPEG's EXIF orientation is honoured: viewers show the film that
    way, and a film lying on its side would be judged as something it is not. ``reduction`` is the most that a JPEG may
    come back smaller by.

    Raises
    ------
    CorruptImage
        If the file is damaged, truncated or of another size than its header.
    UnsuitableImage
        Reason ``photometric``: a picture in colour or for printing (CMYK).
    """
    if header.image_format is ImageFormat.PNG:
        pixels = decode_png(content, header)
        white = 255 if pixels.dtype == np.uint8 else 65535
    else:
        if header.samples_per_pixel not in (1, 3):
            raise UnsuitableImage(Reason.PHOTOMETRIC, "a JPEG of neither one nor three components")
        pixels = decode_jpeg(content, reduction=reduction)
        white = 2 ** (header.bits_stored or 8) - 1
    rows, columns = header.rows or 0, header.columns or 0
    done = 1 if pixels.shape[:2] == (rows, columns) else reduction
    if pixels.shape[:2] != (-(-rows // done), -(-columns // done)) or pixels.dtype not in (np.uint8, np.uint16):
        raise corrupt("the picture is not what its header announced")
    gray = _to_gray(pixels, white)
    if header.image_format is ImageFormat.JPEG:
        gray = upright(gray, read_orientation(content))
    return GrayImage(pixels=gray, black=0.0, white=float(white), reduction=done)


def _to_gray(pixels: NDArray[Any], white: int) -> NDArray[Any]:
    """Reduce ``(rows, columns[, 1..4])`` to ``(rows, columns)``."""
    if pixels.ndim == 2:
        return pixels
    planes = cv2.split(pixels)
    gray = planes[0] if len(planes) <= 2 else _require_gray(planes[:3], white)
    if len(planes) in (2, 4):
        opacity = planes[-1].astype(np.float32) / np.float32(white)
        gray = np.rint(gray * opacity).astype(pixels.dtype)
    return gray


def _require_gray(channels: Sequence[NDArray[Any]], white: int) -> NDArray[Any]:
    """Return the green of red, green and blue, where no pixel's channels differ by more than rounding."""
    spread = max(int(cv2.absdiff(one, other).max()) for one, other in combinations(channels, 2))
    if spread * 255 > _CHROMA_TOLERANCE * white:
        raise UnsuitableImage(Reason.PHOTOMETRIC, "the picture is in colour")
    return channels[1]
