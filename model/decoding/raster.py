"""Decodes PNG and JPEG films: gray as it is, colour only where it is gray in disguise.

A raster film says nothing of windows, so that its dtype's range is its full range (DESIGN §4). Sits beside the DICOM
modules and shares ``codecs`` with them.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from model.decoding.codecs import codec_wall, decode_jpeg
from model.decoding.exif import read_orientation, upright
from model.decoding.header import Header, ImageFormat
from model.decoding.raster_header import PNG_SIGNATURE
from model.decoding.source import corrupt
from model.errors import Reason, UnsuitableImage
from model.image import GrayImage

# Largest difference between the channels of a pixel that still counts as gray, of 255: the rounding of JPEG's colour
# transform stays below; an annotation in colour, which a film does not have, does not.
_CHROMA_TOLERANCE: Final = 8
# Encoders write chunks of 8 KiB and more; small films need some bytes besides their pixels.
_MOST_CHUNKS: Final = 65_536
_SPARE_DATA_BYTES: Final = 4096
# The filter type, and an empty block where an encoder flushes after every row; interlacing has almost twice the rows.
_SPARE_ROW_BYTES: Final = 16
_END_CHUNK: Final = b"\0\0\0\0IEND\xaeB`\x82"


def decode_raster(content: bytes, header: Header) -> GrayImage:
    """Decode a PNG or JPEG; black is 0, white the largest value of its depth.

    Transparent pixels are composited over black. A JPEG's EXIF orientation is honoured: viewers show the film that
    way, and a film lying on its side would be judged as something it is not.

    Raises
    ------
    CorruptImage
        If the file is damaged, truncated or of another size than its header.
    UnsuitableImage
        Reason ``photometric``: a picture in colour or for printing (CMYK).
    """
    if header.image_format is ImageFormat.PNG:
        if _END_CHUNK not in content:  # libpng is content with the last row
            raise corrupt("the PNG ends before its end chunk")
        _require_plausible_data(content, header)
        with codec_wall():
            pixels = np.asarray(imagecodecs.png_decode(content))
        white = 255 if pixels.dtype == np.uint8 else 65535
    else:
        if header.samples_per_pixel not in (1, 3):
            raise UnsuitableImage(Reason.PHOTOMETRIC, "a JPEG of neither one nor three components")
        pixels = decode_jpeg(content)
        white = 2 ** (header.bits_stored or 8) - 1
    if pixels.shape[:2] != (header.rows, header.columns) or pixels.dtype not in (np.uint8, np.uint16):
        raise corrupt("the picture is not what its header announced")
    gray = _to_gray(pixels, white)
    if header.image_format is ImageFormat.JPEG:
        gray = upright(gray, read_orientation(content))
    return GrayImage(pixels=gray, black=0.0, white=float(white))


def _require_plausible_data(content: bytes, header: Header) -> None:
    """Refuse a PNG with more image data than its pixels could need: libpng would inflate it to its end.

    Deflate never makes data much longer (RFC 1951 3.2.4: five bytes a stored block); a quarter more is plenty. What
    follows the end chunk is not the picture's.
    """
    pixel_bytes = (header.samples_per_pixel or 4) * (2 if (header.bits_stored or 16) > 8 else 1)
    plain_bytes = (header.rows or 0) * ((header.columns or 0) * pixel_bytes + _SPARE_ROW_BYTES)
    data_bytes, position = 0, len(PNG_SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        if position + 8 > len(content):
            break
        length, name = struct.unpack_from(">I4s", content, position)
        if name == b"IEND":
            break
        data_bytes += length if name == b"IDAT" else 0
        position += length + 12
    else:
        raise corrupt("the PNG consists of too many chunks")
    if data_bytes > plain_bytes * 5 // 4 + _SPARE_DATA_BYTES:
        raise corrupt("the PNG holds more image data than its pixels need")


def _to_gray(pixels: NDArray[Any], white: int) -> NDArray[Any]:
    """Reduce ``(rows, columns[, 1..4])`` to ``(rows, columns)``."""
    if pixels.ndim == 2:
        return pixels
    samples = pixels.shape[2]
    gray = pixels[..., 0] if samples <= 2 else _require_gray(pixels, white)
    if samples in (2, 4):
        opacity = pixels[..., -1].astype(np.float32) / np.float32(white)
        gray = np.rint(gray * opacity).astype(pixels.dtype)
    return np.ascontiguousarray(gray)


def _require_gray(pixels: NDArray[Any], white: int) -> NDArray[Any]:
    red, green, blue = (pixels[..., index].astype(np.int32) for index in range(3))
    spread = max(int(np.abs(red - green).max()), int(np.abs(blue - green).max()), int(np.abs(red - blue).max()))
    if spread * 255 > _CHROMA_TOLERANCE * white:
        raise UnsuitableImage(Reason.PHOTOMETRIC, "the picture is in colour")
    return np.asarray(pixels[..., 1])
