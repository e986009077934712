"""Tells what a file is without its pixels: sniffs the format, hands on to the reader of its header.

The gateway calls it before it accepts a film, the decoding child again before it decodes. Cheap and bounded by
construction: no value longer than a LUT is read, nothing recurses, no pixel is touched.
"""

from __future__ import annotations

from pathlib import Path

from model.decoding.dicom_header import inspect_dicom
from model.decoding.header import Header
from model.decoding.raster_header import JPEG_SIGNATURE, PNG_SIGNATURE, inspect_jpeg, inspect_png
from model.decoding.source import open_source
from model.errors import Reason, UnsupportedFormat


def inspect_header(source: Path | bytes) -> Header:
    """Read format, size, identifiers and gate attributes of a film; never its pixels.

    Where the transfer syntax is none of those judged (deflated, big endian, video, unknown), the DICOM header carries
    it and the meta information's two UIDs alone: the data set behind is not touched.

    Raises
    ------
    UnsupportedFormat
        If the bytes are none of DICOM Part 10, PNG, JPEG (HTTP 415).
    CorruptImage
        If the format is known but its header cannot be read (HTTP 422), reason ``decode_error``.
    """
    with open_source(source) as (stream, size):
        magic = stream.read(132)
        stream.seek(0)
        if magic[128:] == b"DICM":
            return inspect_dicom(stream, size)
        if magic.startswith(PNG_SIGNATURE):
            return inspect_png(stream)
        if magic.startswith(JPEG_SIGNATURE):
            return inspect_jpeg(stream)
    raise UnsupportedFormat(Reason.DECODE_ERROR, "neither DICOM Part 10 nor PNG nor JPEG")
