"""Synthetic films as bytes: DICOM, PNG and JPEG, drawn by ``model.phantom`` or from given pixels. Deterministic."""

from __future__ import annotations

import hashlib
import io
import struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from model.image import GrayImage
from model.phantom import chest_phantom

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_LS_LOSSY = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
VIDEO = "1.2.840.10008.1.2.4.102"

CR_STORAGE = "1.2.840.10008.5.1.4.1.1.1"
DX_STORAGE = "1.2.840.10008.5.1.4.1.1.1.1"
DX_PROCESSING_STORAGE = "1.2.840.10008.5.1.4.1.1.1.1.1"
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


Gray = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16]


def phantom_pixels(seed: int = 0, *, rows: int = 256, columns: int = 256, bits: int = 12, opacity: float = 0.0) -> Gray:
    """Return the phantom as ``(rows, columns)`` unsigned integers that use ``bits`` bits."""
    film = chest_phantom(seed, rows=rows, columns=columns, opacity=opacity)
    return np.rint(film * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def uid_of(*parts: object) -> str:
    """Return a UID that depends on ``parts`` alone."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def dicom_film(
    pixels: Gray | None = None,
    *,
    seed: int = 0,
    rows: int = 256,
    columns: int = 256,
    opacity: float = 0.0,
    transfer_syntax: str = EXPLICIT,
    frame: bytes | None = None,
    preamble: bytes = b"\0" * 128,
    **attributes: Any,
) -> bytes:
    """Return a DICOM file: by default an adult's frontal CR chest film that is scored.

    ``attributes`` are DICOM keywords that replace or add to the defaults. ``None`` removes one (``PixelData=None``
    too); a ``DataElement`` gets in as it is, with an illegal VR if need be. ``frame`` replaces the encoded pixels: one
    item of an encapsulated syntax, or the native bytes.
    """
    if pixels is None:
        pixels = phantom_pixels(seed, rows=rows, columns=columns, opacity=opacity)
    dataset = _default_attributes(pixels, seed)
    with config.disable_value_validation():
        for keyword, value in attributes.items():
            if keyword in dataset:
                delattr(dataset, keyword)
            if isinstance(value, DataElement):
                dataset.add(value)
            elif value is not None:
                setattr(dataset, keyword, value)
        if attributes.get("PixelData", b"") is not None:
            _add_pixel_data(dataset, encode_frame(pixels, transfer_syntax) if frame is None else frame, transfer_syntax)
        return _to_bytes(dataset, transfer_syntax, preamble)


def _default_attributes(pixels: Gray, seed: int) -> Dataset:
    bits_stored = 8 if pixels.dtype == np.uint8 else 12
    identity = (hashlib.sha256(pixels.tobytes()).hexdigest(), seed)
    dataset = Dataset()
    dataset.SOPClassUID = CR_STORAGE
    dataset.SOPInstanceUID = uid_of("instance", *identity)
    dataset.StudyInstanceUID = uid_of("study", *identity)
    dataset.SeriesInstanceUID = uid_of("series", *identity)
    dataset.PatientID = "PHANTOM"
    dataset.PatientName = "Phantom^Chest"
    dataset.PatientAge = "045Y"
    dataset.PatientSex = "F"
    dataset.StudyDate = "20260101"
    dataset.Modality = "CR"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = bits_stored
    dataset.HighBit = bits_stored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.WindowCenter = str(2 ** (bits_stored - 1))
    dataset.WindowWidth = str(2**bits_stored)
    return dataset


def encode_frame(pixels: Gray, transfer_syntax: str) -> bytes:
    """Return ``pixels`` as one frame of the transfer syntax. Lossy syntaxes are encoded at high quality."""
    match transfer_syntax:
        case "1.2.840.10008.1.2.5":
            return _rle_encode(pixels)
        case "1.2.840.10008.1.2.4.102":
            return b"\0\0\1\xb3 no decoder of ours may ever see this"
        case "1.2.840.10008.1.2.4.50":
            return bytes(imagecodecs.jpeg8_encode(pixels, level=95))
        case "1.2.840.10008.1.2.4.51":
            return bytes(imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=min(_precision(pixels), 12)))
        case "1.2.840.10008.1.2.4.57" | "1.2.840.10008.1.2.4.70":
            return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=_precision(pixels), predictor=1))
        case "1.2.840.10008.1.2.4.80":
            return bytes(imagecodecs.jpegls_encode(pixels, level=0))
        case "1.2.840.10008.1.2.4.81":
            return bytes(imagecodecs.jpegls_encode(pixels, level=2))
        case "1.2.840.10008.1.2.4.90":
            return bytes(imagecodecs.jpeg2k_encode(pixels, reversible=True, codecformat="j2k"))
        case "1.2.840.10008.1.2.4.91":
            return bytes(imagecodecs.jpeg2k_encode(pixels, level=90, reversible=False, codecformat="j2k"))
        case "1.2.840.10008.1.2.4.201" | "1.2.840.10008.1.2.4.202":
            return bytes(imagecodecs.htj2k_encode(pixels))
        case "1.2.840.10008.1.2.4.203":
            return bytes(imagecodecs.htj2k_encode(pixels, level=1e-4))
    order = ">" if transfer_syntax == BIG_ENDIAN else "<"
    return pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()


def _precision(pixels: Gray) -> int:
    if pixels.dtype == np.uint8:
        return 8
    return 12 if pixels.max() < 4096 else 16


def _rle_encode(pixels: Gray) -> bytes:
    """PS3.5 annex G: one PackBits segment for each byte of a sample, the most significant first, rows apart."""
    planes = pixels.view(np.uint8).reshape(*pixels.shape, pixels.dtype.itemsize)[..., ::-1]
    segments = []
    for index in range(planes.shape[-1]):
        rows = [bytes(imagecodecs.packbits_encode(row.tobytes())) for row in planes[..., index]]
        segment = b"".join(rows)
        segments.append(segment + b"\0" * (len(segment) % 2))
    offsets = [64 + sum(len(segment) for segment in segments[:index]) for index in range(len(segments))]
    return struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(segments))) + b"".join(segments)


def _add_pixel_data(dataset: Dataset, frame: bytes, transfer_syntax: str) -> None:
    if transfer_syntax != RLE and not transfer_syntax.startswith("1.2.840.10008.1.2.4."):
        dataset.PixelData = frame + b"\0" * (len(frame) % 2)
        dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
        return
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _to_bytes(dataset: Dataset, transfer_syntax: str, preamble: bytes) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CR_STORAGE)
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "2.25.1")
    dataset.file_meta = meta
    dataset.preamble = preamble
    buffer = io.BytesIO()
    is_known = UID(transfer_syntax).is_transfer_syntax
    encoding: dict[str, Any] = {} if is_known else {"implicit_vr": False, "little_endian": True}
    dcmwrite(buffer, dataset, enforce_file_format=True, **encoding)
    return buffer.getvalue()


def png_film(pixels: NDArray[Any] | None = None, *, seed: int = 0, rows: int = 256, columns: int = 256) -> bytes:
    """Return a PNG, 8 or 16 bit gray, gray + alpha, RGB or RGBA as the array is; an 8-bit phantom by default."""
    if pixels is None:
        pixels = phantom_pixels(seed, rows=rows, columns=columns, bits=8)
    return bytes(imagecodecs.png_encode(pixels))


def jpeg_film(
    pixels: NDArray[Any] | None = None, *, seed: int = 0, rows: int = 256, columns: int = 256, quality: int = 95
) -> bytes:
    """Return a baseline JPEG: gray or RGB by the array's shape; an 8-bit phantom by default."""
    if pixels is None:
        pixels = phantom_pixels(seed, rows=rows, columns=columns, bits=8)
    return bytes(imagecodecs.jpeg8_encode(pixels, level=quality))


def display(image: GrayImage) -> np.ndarray:
    """Return ``(rows, columns)`` float32 in [0, 1], 0 black: the decoded film as a reader sees it, at its full size."""
    scaled = np.clip((image.pixels.astype(np.float64) - image.black) / (image.white - image.black), 0.0, 1.0)
    if image.padding is not None:
        first, last = image.padding
        scaled = np.where((image.pixels >= first) & (image.pixels <= last), 0.0, scaled)
    return np.asarray(scaled, dtype=np.float32)
