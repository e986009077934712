"""From a film's bytes to gray, every way: as PS3.3 and double precision say, whatever short cut a film allows."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.errors import ImageError
from model.image import GrayImage
from model.shrinking import shrink
from tests.golden.dicom_cases import lut
from tests.support import films
from tests.support.exact import area_mean, exact_gray
from tests.support.shared_data import shared_data

ROWS, COLUMNS = 197, 163
SHAPE = (64, 53)
# Of the range. What goes through a table of 65,536 grays is half of one of these off, besides.
FUSED = 1e-5
TABLED = FUSED + 0.5 / 65535

Values: TypeAlias = NDArray[np.float64]
Show: TypeAlias = Callable[[Values], Values]

PIXELS = films.phantom_pixels(5, rows=ROWS, columns=COLUMNS)
SIGNED = (PIXELS.astype(np.int32) - 2048).astype(np.int16)
DEEP = films.phantom_pixels(5, rows=ROWS, columns=COLUMNS, bits=16)
NO_WINDOW: dict[str, Any] = {"WindowCenter": None, "WindowWidth": None}
MODALITY = np.rint(65535 * np.linspace(0, 1, 4096) ** 2).astype(int)
VOI = np.rint(4095 * np.linspace(0, 1, 4096) ** 0.5).astype(int)


def linear(center: float, width: float) -> Show:
    """PS3.3 C.11.2.1.2.1, with output from 0 to 1."""
    return lambda x: np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)


def percentiles(values: Values, is_picture: Any = True) -> Values:
    """DESIGN §4: without a window the 0.5th to the 99.5th percentile of what is no padding."""
    low, high = np.percentile(values[np.broadcast_to(is_picture, values.shape)], (0.5, 99.5))
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def without(is_padding: Callable[[Values], Any], show: Show) -> Show:
    return lambda x: np.where(is_padding(x), 0.0, show(x))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Attributes of a film, and what its stored values look like by the standard: 0 black, 1 white."""

    show: Show
    attributes: dict[str, Any] = field(default_factory=dict)
    pixels: Any = field(default_factory=lambda: PIXELS)
    tolerance: float = FUSED


def window(center: float, width: float, **attributes: Any) -> dict[str, Any]:
    return {"WindowCenter": str(center), "WindowWidth": str(width), **attributes}


KINDS = {
    "its whole range": Kind(show=linear(2048, 4096)),
    "narrow window": Kind(show=linear(2000.5, 120.25), attributes=window(2000.5, 120.25)),
    "very narrow window": Kind(show=linear(2000, 3), attributes=window(2000, 3)),
    "window wider than the film": Kind(show=linear(1000, 30000), attributes=window(1000, 30000)),
    "exact window": Kind(
        show=lambda x: np.clip((x - 1500) / 1000 + 0.5, 0.0, 1.0),
        attributes=window(1500, 1000, VOILUTFunction="LINEAR_EXACT"),
    ),
    "step": Kind(show=lambda x: (x > 1999.5) * 1.0, attributes=window(2000, 1), tolerance=TABLED),
    "sigmoid": Kind(
        show=lambda x: 1 / (1 + np.exp(-4 * (x - 2000) / 800)),
        attributes=window(2000, 800, VOILUTFunction="SIGMOID"),
        tolerance=TABLED,
    ),
    "rescaled": Kind(
        show=lambda x: linear(500, 900)(0.25 * x - 10.5),
        attributes=window(500, 900, RescaleSlope="0.25", RescaleIntercept="-10.5"),
    ),
    "negative slope": Kind(
        show=lambda x: linear(2048, 3000)(4095 - x),
        attributes=window(2048, 3000, RescaleSlope="-1", RescaleIntercept="4095"),
    ),
    "MONOCHROME1": Kind(
        show=lambda x: 1 - linear(2100, 3000)(x),
        attributes=window(2100, 3000, PhotometricInterpretation="MONOCHROME1"),
    ),
    "modality table": Kind(
        show=lambda x: linear(30000, 50000)(MODALITY[x.astype(int)]),
        attributes=window(30000, 50000, ModalityLUTSequence=lut(0, 16, *MODALITY)),
        tolerance=TABLED,
    ),
    "modality table, no window": Kind(
        show=lambda x: percentiles(MODALITY[x.astype(int)].astype(float)),
        attributes=NO_WINDOW | {"ModalityLUTSequence": lut(0, 16, *MODALITY)},
        tolerance=TABLED,
    ),
    "VOI table, MONOCHROME1": Kind(
        show=lambda x: 1 - VOI[x.astype(int)] / 4095,
        attributes=NO_WINDOW | {"VOILUTSequence": lut(0, 12, *VOI), "PhotometricInterpretation": "MONOCHROME1"},
        tolerance=TABLED,
    ),
    "no window": Kind(show=percentiles, attributes=NO_WINDOW),
    "no window, signed": Kind(
        show=percentiles, pixels=SIGNED, attributes=NO_WINDOW | {"BitsStored": 16, "HighBit": 15}
    ),
    "no window, padded": Kind(
        show=without(lambda x: x <= 300, lambda x: percentiles(x, x > 300)),
        attributes=NO_WINDOW | {"PixelPaddingValue": 300, "PixelPaddingRangeLimit": 0},
    ),
    "padded": Kind(
        show=without(lambda x: x >= 3000, linear(2048, 4096)),
        attributes={"PixelPaddingValue": 3000, "PixelPaddingRangeLimit": 4095},
    ),
    "padded, MONOCHROME1": Kind(
        show=without(lambda x: x <= 500, lambda x: 1 - linear(2048, 4096)(x)),
        attributes=window(2048, 4096, PhotometricInterpretation="MONOCHROME1")
        | {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 500},
    ),
    "padded, sigmoid, MONOCHROME1": Kind(
        show=without(lambda x: x <= 500, lambda x: 1 - 1 / (1 + np.exp(-4 * (x - 2000) / 800))),
        attributes=window(2000, 800, VOILUTFunction="SIGMOID", PhotometricInterpretation="MONOCHROME1")
        | {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 500},
        tolerance=TABLED,
    ),
    "signed": Kind(show=linear(-100, 2000), pixels=SIGNED, attributes=window(-100, 2000, BitsStored=16, HighBit=15)),
    "signed, 12 of 16 bits": Kind(show=linear(-100, 2000), pixels=SIGNED, attributes=window(-100, 2000)),
    "16 bits": Kind(show=linear(32768, 65536), pixels=DEEP, attributes=window(32768, 65536, BitsStored=16, HighBit=15)),
    "16 bits, narrow": Kind(
        show=linear(40000.2, 99.5), pixels=DEEP, attributes=window(40000.2, 99.5, BitsStored=16, HighBit=15)
    ),
    "8 bits": Kind(
        show=linear(128, 256), pixels=films.phantom_pixels(5, rows=ROWS, columns=COLUMNS, bits=8), attributes={}
    ),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("syntax", [films.EXPLICIT, films.IMPLICIT, films.RLE, films.JPEG_2000_LOSSLESS])
def test_a_shrunk_film_is_what_the_standard_shows(kind: Kind, syntax: str) -> None:
    payload = films.dicom_film(kind.pixels, transfer_syntax=syntax, **kind.attributes)
    shrunk = shrink(decode(payload, inspect_header(payload)), *SHAPE)
    exact = area_mean(kind.show(kind.pixels.astype(np.float64)), *SHAPE)
    assert np.abs(shrunk / 255 - exact).max() <= kind.tolerance


@pytest.mark.parametrize("depth", [8, 16])
def test_a_shrunk_raster_film_is_what_its_file_holds(depth: int) -> None:
    pixels = films.phantom_pixels(5, rows=ROWS, columns=COLUMNS, bits=depth)
    payload = films.png_film(pixels)
    shrunk = shrink(decode(payload, inspect_header(payload)), *SHAPE)
    exact = area_mean(pixels / (2.0**depth - 1), *SHAPE)
    assert np.abs(shrunk / 255 - exact).max() <= FUSED


def _decodable(paths: list[Path]) -> list[GrayImage]:
    found = []
    for path in paths:
        try:
            found.append(decode(path, inspect_header(path)))
        except ImageError:
            continue
    return found


@pytest.mark.parametrize(("folder", "pattern"), [("dicom", "*/*"), ("nih/images", "*"), ("radiography", "*/*")])
def test_every_real_film_shrinks_to_what_its_levels_say(folder: str, pattern: str) -> None:
    paths = sorted(path for path in shared_data(*folder.split("/")).glob(pattern) if path.is_file())
    images = _decodable(paths if folder == "dicom" else paths[::20])
    assert len(images) >= 40
    for image in images:
        height, width = image.pixels.shape
        shape = min(height, 224), min(width, 181)
        assert np.abs(shrink(image, *shape) - area_mean(exact_gray(image), *shape)).max() <= FUSED * 255


def test_native_pixels_stay_in_the_payload() -> None:
    for pixels, attributes in (
        (PIXELS, {}),
        (SIGNED, {"BitsStored": 16, "HighBit": 15}),
        (SIGNED, {}),
        (DEEP >> 8, {}),
    ):
        payload = films.dicom_film(pixels, **attributes)
        image = decode(payload, inspect_header(payload))
        assert np.shares_memory(image.pixels, np.frombuffer(payload, np.uint8))
        assert not image.pixels.flags.writeable


def test_native_pixels_at_an_odd_byte_are_read_as_any_others() -> None:
    """An element of odd length before them, which writers should pad and some do not."""
    payload = films.dicom_film(PIXELS)
    head, tail = payload.split(struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 2), 1)
    odd = head + struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 3) + tail[:2] + b" " + tail[2:]
    image = decode(odd, inspect_header(odd))
    np.testing.assert_array_equal(shrink(image, *SHAPE), shrink(decode(payload, inspect_header(payload)), *SHAPE))
