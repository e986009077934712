"""Decodes a film's pixels into gray. Runs in the sandboxed child, after the header gate; keeps no state."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

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
from model.decoding.source import open_source
from model.decoding.transfer_syntaxes import JUDGED_TRANSFER_SYNTAXES
from model.decoding.voi import to_gray
from model.errors import Reason, UnsuitableImage
from model.image import GrayImage

WANTED_TAGS: Final = TRANSFORM_TAGS | {BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXEL_REPRESENTATION}


def decode(source: Path | bytes, header: Header) -> GrayImage:
    """Decode the film's pixels into gray at their own depth, modality and VOI transforms applied.

    Parameters
    ----------
    source
        The payload that ``header`` was read from.

    Raises
    ------
    CorruptImage
        If the pixels cannot be decoded, are truncated, or are not what the header announced (``decode_error``).
    UnsuitableImage
        If what is decoded must not be judged: a colour picture (``photometric``), a constant one (``blank``), and what
        ``gate_header`` refuses too, for callers that did not ask it.
    """
    with open_source(source) as (stream, size):
        if header.image_format is ImageFormat.DICOM:
            return _decode_dicom(stream, size, header)
        return decode_raster(stream.read(), header)


def _decode_dicom(stream: BinaryIO, size: int, header: Header) -> GrayImage:
    if header.transfer_syntax_uid not in JUDGED_TRANSFER_SYNTAXES:
        raise UnsuitableImage(Reason.TRANSFER_SYNTAX, "the transfer syntax is not judged")
    if header.number_of_frames != 1:
        raise UnsuitableImage(Reason.MULTI_FRAME, "more or fewer frames than one")
    if header.samples_per_pixel != 1 or header.photometric_interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnsuitableImage(Reason.PHOTOMETRIC, "not a gray film")
    shape = require_size(header)
    meta = read_file_meta(stream)
    attributes = read_attributes(stream, size, meta, WANTED_TAGS)
    if attributes.pixels is None or not header.has_pixel_data:
        raise UnsuitableImage(Reason.NO_PIXEL_DATA, "no Pixel Data")
    layout = read_bit_layout(attributes)
    # PS3.3 C.7.6.3.1.2, not Presentation LUT Shape, which CR films often lack: MONOCHROME1 alone inverts, once.
    is_inverted = header.photometric_interpretation == "MONOCHROME1"
    transform = read_transform(attributes, layout, is_inverted=is_inverted)
    stored = read_stored_values(stream, size, meta, attributes.pixels, layout, shape)
    return to_gray(stored, transform, header.pixel_aspect)
