"""A film's bytes to the tensor of a network, as most people write it: pydicom's LUT functions, Pillow, float.

The other side of table (a). Decoders are those that pydicom chooses by itself where gdcm, pylibjpeg-openjpeg and
pylibjpeg-rle are installed, which is kinder to it than its own. Must not know ours.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

# Of ImageNet, by which pretrained networks want their input scaled.
_MEAN: Final = np.array((0.485, 0.456, 0.406), dtype=np.float32)
_DEVIATION: Final = np.array((0.229, 0.224, 0.225), dtype=np.float32)


def dicom_to_tensor(payload: bytes, size: int) -> NDArray[np.float32]:
    """Return ``(1, 3, size, size)`` float32 of a DICOM film."""
    dataset = pydicom.dcmread(io.BytesIO(payload))
    return _to_tensor(Image.fromarray(_shown(dataset)).convert("RGB"), size)


def raster_to_tensor(payload: bytes, size: int) -> NDArray[np.float32]:
    """Return ``(1, 3, size, size)`` float32 of a PNG or JPEG."""
    picture: Image.Image = Image.open(io.BytesIO(payload))
    if picture.mode.startswith("I"):  # 16 bits; convert("RGB") would clip them at 255
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return _to_tensor(picture.convert("RGB"), size)


def gray_of(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the film within a tensor as ``(size, size)`` in 0 .. 1, to compare it with another."""
    return np.asarray(tensor[0, 0] * _DEVIATION[0] + _MEAN[0], dtype=np.float32)


def _shown(dataset: pydicom.Dataset) -> NDArray[np.uint8]:
    pixels: Any = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float32)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = pixels.max() - pixels
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    return np.asarray(pixels * 255, dtype=np.uint8)


def _to_tensor(picture: Image.Image, size: int) -> NDArray[np.float32]:
    pixels = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    return np.ascontiguousarray(((pixels - _MEAN) / _DEVIATION).transpose(2, 0, 1)[np.newaxis])
