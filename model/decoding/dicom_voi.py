"""Reads the attributes of a film's gray transform: the one place that knows where DICOM keeps them.

Between ``dicom_attributes`` and ``voi``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from model.decoding.dicom_attributes import Attributes
from model.decoding.dicom_elements import ItemPath
from model.decoding.dicom_pixels import BitLayout
from model.decoding.source import corrupt
from model.decoding.voi import GrayTransform, LookupTable, Window

_MODALITY_LUT_SEQUENCE, _VOI_LUT_SEQUENCE = 0x00283000, 0x00283010
_LUT_DESCRIPTOR, _LUT_DATA = 0x00283002, 0x00283006
_WINDOW_CENTER, _WINDOW_WIDTH, _VOI_LUT_FUNCTION = 0x00281050, 0x00281051, 0x00281056
_RESCALE_INTERCEPT, _RESCALE_SLOPE = 0x00281052, 0x00281053
_PADDING_VALUE, _PADDING_RANGE_LIMIT = 0x00280120, 0x00280121

TRANSFORM_TAGS: Final = frozenset(
    {
        *(_LUT_DESCRIPTOR, _LUT_DATA, _WINDOW_CENTER, _WINDOW_WIDTH, _VOI_LUT_FUNCTION),
        *(_RESCALE_INTERCEPT, _RESCALE_SLOPE, _PADDING_VALUE, _PADDING_RANGE_LIMIT),
    }
)


def read_transform(attributes: Attributes, layout: BitLayout, *, is_inverted: bool) -> GrayTransform:
    """Return the film's gray transform; of several windows or LUTs the first, as PS3.3 C.11.2.1.2 lets one choose.

    Raises
    ------
    CorruptImage
        If a rescale value is not one finite number or a LUT does not fit its descriptor.
    """
    slope, intercept = attributes.number(_RESCALE_SLOPE), attributes.number(_RESCALE_INTERCEPT)
    return GrayTransform(
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        modality_lut=_read_lut(attributes, _MODALITY_LUT_SEQUENCE, layout),
        voi_lut=_read_lut(attributes, _VOI_LUT_SEQUENCE, layout),
        window=_read_window(attributes),
        padding=_read_padding(attributes, layout),
        is_inverted=is_inverted,
    )


def _read_window(attributes: Attributes) -> Window | None:
    center, width = attributes.numbers(_WINDOW_CENTER), attributes.numbers(_WINDOW_WIDTH)
    if not center or not width:
        return None
    function = attributes.text(_VOI_LUT_FUNCTION)
    return Window(center=center[0], width=width[0], function=function[0] if function else "LINEAR")


def _read_padding(attributes: Attributes, layout: BitLayout) -> tuple[int, int] | None:
    """PS3.3 C.7.5.1.1.2: one value, or with (0028,0121) a range whose ends come in either order."""
    value = attributes.shorts(_PADDING_VALUE, is_signed=layout.is_signed)
    if not value:
        return None
    limit = attributes.shorts(_PADDING_RANGE_LIMIT, is_signed=layout.is_signed)
    return value[0], (limit or value)[0]


def _read_lut(attributes: Attributes, sequence: int, layout: BitLayout) -> LookupTable | None:
    paths = attributes.item_paths(sequence)
    if not paths:
        return None
    path = paths[0]
    descriptor = attributes.shorts(_LUT_DESCRIPTOR, path)
    if len(descriptor) != 3 or not 8 <= descriptor[2] <= 16:
        raise corrupt("a LUT Descriptor is malformed")
    count = descriptor[0] or 65536  # PS3.3 C.11.1.1: 65,536 entries do not fit their own count
    vr = attributes.vrs[path, _LUT_DESCRIPTOR]
    is_signed = vr == b"SS" or (vr == b"US or SS" and layout.is_signed)
    first = attributes.shorts(_LUT_DESCRIPTOR, path, is_signed=is_signed)[1]
    return LookupTable(first=first, entries=_entries(attributes, path, count), maximum=2 ** descriptor[2] - 1)


def _entries(attributes: Attributes, path: ItemPath, count: int) -> np.ndarray:
    """Return the entries as uint16: words, or bytes where 8-bit entries were packed two to a word."""
    content = attributes.values.get((path, _LUT_DATA), b"")
    if len(content) == 2 * count:
        return np.frombuffer(content, "<u2").astype(np.uint16)
    if len(content) == count + count % 2:
        return np.frombuffer(content, np.uint8)[:count].astype(np.uint16)
    raise corrupt("LUT Data does not fit its descriptor")
