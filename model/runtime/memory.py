"""Memory that batches are put together in: page-locked where a GPU fetches them itself, ordinary elsewhere."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from model.image import Tensor
from model.runtime.provider import ORT_NAMES, Provider

_logger = logging.getLogger(__name__)

_NO_MORE: Final = (RuntimeError, ort_errors.Fail, ort_errors.RuntimeException)


def batch_memory(provider: Provider, shape: tuple[int, ...]) -> Tensor:
    """Return uint8 memory of ``shape``, its content undefined.

    On a GPU it is page-locked, so that the device copies it by itself at the full speed of its bus; where onnxruntime
    offers none, a batch costs that copy and nothing else.
    """
    if not provider.is_gpu:
        return np.empty(shape, np.uint8)
    for device in ort.get_ep_devices():
        info = device.memory_info(ort.OrtDeviceMemoryType.HOST_ACCESSIBLE)
        if device.ep_name == ORT_NAMES[Provider.CUDA] and info is not None:
            # The array holds the value that it looks into.
            with suppress(*_NO_MORE):  # a machine has only so much memory that may be locked
                return np.asarray(ort.OrtValue.ortvalue_from_shape_and_type(shape, np.uint8, memory_info=info).numpy())
    _logger.warning("no page-locked memory", extra={"action": "memory_not_pinned", "provider": provider.value})
    return np.empty(shape, np.uint8)
