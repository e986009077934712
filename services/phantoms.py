"""Drawn films as files: PNG, JPEG and DICOM of ``model.phantom``. For demonstrations and for measuring.

Never scored for anybody's sake: a drawing's probability means nothing.
"""

from __future__ import annotations

import io
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from model.phantom import chest_phantom

CR_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.1"
CT_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
_BITS: Final = 12
_JPEG_QUALITY: Final = 92


def phantom_png(seed: int, *, rows: int, columns: int, opacity: float = 0.0) -> bytes:
    """Return an 8-bit gray PNG."""
    return bytes(imagecodecs.png_encode(_gray(seed, rows, columns, opacity)))


def phantom_jpeg(seed: int, *, rows: int, columns: int, opacity: float = 0.0) -> bytes:
    """Return an 8-bit gray baseline JPEG of high quality."""
    return bytes(imagecodecs.jpeg8_encode(_gray(seed, rows, columns, opacity), level=_JPEG_QUALITY))


def _gray(seed: int, rows: int, columns: int, opacity: float) -> NDArray[np.uint8]:
    film = chest_phantom(seed, rows=rows, columns=columns, opacity=opacity)
    return np.rint(film * 255).astype(np.uint8)


def phantom_dicom(
    seed: int, *, rows: int, columns: int, opacity: float = 0.0, is_inverted: bool = False, **attributes: Any
) -> bytes:
    """Return an uncompressed CR of 12 bits in 16, of an adult's chest; ``attributes`` are keywords that replace ours.

    Its UIDs follow from ``seed``: drawn again, it is the same film.
    """
    film = chest_phantom(seed, rows=rows, columns=columns, opacity=opacity)
    pixels: NDArray[np.uint16] = np.rint((1 - film if is_inverted else film) * (2**_BITS - 1)).astype(np.uint16)
    dataset = Dataset()
    dataset.SOPClassUID = CR_STORAGE
    # 2.25.<integer> needs no registered root (PS3.5 B.2).
    dataset.StudyInstanceUID, dataset.SOPInstanceUID = _uid(seed, 1), _uid(seed, 2)
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "PA"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.PatientAge = "045Y"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, _BITS, _BITS - 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if is_inverted else "MONOCHROME2"
    dataset.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _uid(seed: int, which: int) -> str:
    # As long as real ones are, so that a load generator can put numbers of its own in their place.
    return f"2.25.{which}{seed:036d}"
