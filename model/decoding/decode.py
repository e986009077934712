"""Decodes a film's pixels into gray. Runs in the sandboxed child, after the header gate; keeps no state."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Final

from model.decoding.dicom_attributes import read_attributes, read_file_meta
from model.decoding.dicom_header import require_size
from model.decoding.dicom_pixels import (
    BITS_ALLOCATED,
    BITS_STORED,
    HIGH_BIT,
    PIXEL_REPRESENTATION,
    read_bit_layout,
    read_stored_values,
)
from model.decoding.dicom_voi import TRANSFORM_TAGS, read_transform
from model.decoding.header import Header, ImageFormat
from model.decoding.raster import decode_raster
from model.decoding.transfer_syntaxes import JUDGED_TRANSFER_SYNTAXES
from model.decoding.voi import to_gray
from model.errors import Reason, UnsuitableImage
from model.image import GrayImage

WANTED_TAGS: Final = TRANSFORM_TAGS | {BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXEL_REPRESENTATION}


def decode(source: Path | bytes, header: Header, *, reduction: int = 1) -> GrayImage:
    """Decode the film's pixels into gray at their own depth, modality and VOI transforms applied.

    Parameters
    ----------
    source
        The payload that ``header`` was read from. The film's pixels may be those of the bytes, not a copy.
    reduction
        1, 2, 4 or 8: how much smaller the caller lets each side come back. The image says what was done: often 1,
        because few formats can, and because what is not an average of gray values cannot be made of averages.

    Raises
    ------
    OSError
        If the file cannot be read: not the film's fault.
    CorruptImage
        If the pixels cannot be decoded, are truncated, or are not what the header announced (``decode_error``).
    UnsuitableImage
        If what is decoded must not be judged: a colour picture (``photometric``), a constant one (``blank``), and what
        ``gate_header`` refuses too, for callers that did not ask it.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    if header.image_format is ImageFormat.DICOM:
        return _decode_dicom(content, header, reduction)
    return decode_raster(content, header, reduction=reduction)


def _decode_dicom(content: bytes, header: Header, reduction: int) -> GrayImage:
    if header.transfer_syntax_uid not in JUDGED_TRANSFER_SYNTAXES:
        raise UnsuitableImage(Reason.TRANSFER_SYNTAX, "the transfer syntax is not judged")
    if header.number_of_frames != 1:
        raise UnsuitableImage(Reason.MULTI_FRAME, "more or fewer frames than one")
    if header.samples_per_pixel != 1 or header.photometric_interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnsuitableImage(Reason.PHOTOMETRIC, "not a gray film")
    shape = require_size(header)
    stream = io.BytesIO(content)
    meta = read_file_meta(stream)
    attributes = read_attributes(stream, len(content), meta, WANTED_TAGS)
    if attributes.pixels is None or not header.has_pixel_data:
        raise UnsuitableImage(Reason.NO_PIXEL_DATA, "no Pixel Data")
    layout = read_bit_layout(attributes)
    # PS3.3 C.7.6.3.1.2, not Presentation LUT Shape, which CR films often lack: MONOCHROME1 alone inverts, once.
    is_inverted = header.photometric_interpretation == "MONOCHROME1"
    transform = read_transform(attributes, layout, is_inverted=is_inverted)
    # Bits of overlays, two's complement in unsigned words, padding and curves do not survive averaging.
    if layout.is_signed or layout.high != layout.stored - 1 or transform.padding is not None or not transform.is_linear:
        reduction = 1
    stored = read_stored_values(content, meta, attributes.pixels, layout, shape, reduction=reduction)
    image = to_gray(stored, transform, header.pixel_aspect)
    return image if stored.shape == shape else replace(image, reduction=reduction)
