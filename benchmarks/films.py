"""Generated films of fixed seeds, with the size and the noise that real ones have: what the figures are measured on.

Smooth anatomy plus noise, because noise decides how long a lossless codec takes (PERFORMANCE.md §B). Knows encoders,
and nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.phantom import chest_phantom
from tests.support import films

# A detector's quantum noise, in levels of 4096: JPEG 2000 then packs a film 2.8 to 1, as it does with real ones.
DETECTOR_NOISE: Final = 8.0
# What is left of noise and fine structure in an 8-bit copy for the screen: a PNG of 1024 by 1024 then has 500 kB.
SCREEN_NOISE: Final = 32.0
_BITS: Final = 12
# The phantom has noise of its own; drawn small, blurred and enlarged, only its anatomy is left.
_DRAWN_SMALLER: Final = 4
_BLUR_PIXELS: Final = 3.0
_CR_ROWS, _CR_COLUMNS = 3000, 2500
_SCREEN_SIDE: Final = 1024
_JPEG_QUALITY: Final = 92


def radiograph(seed: int, *, rows: int, columns: int, noise: float = DETECTOR_NOISE) -> NDArray[np.uint16]:
    """Return a film of 12 bits, ``(rows, columns)`` uint16; ``noise`` is its standard deviation in levels of 4096."""
    small = chest_phantom(seed, rows=max(1, rows // _DRAWN_SMALLER), columns=max(1, columns // _DRAWN_SMALLER))
    anatomy = cv2.GaussianBlur(small, (0, 0), _BLUR_PIXELS)
    anatomy = cv2.resize(anatomy, (columns, rows), interpolation=cv2.INTER_CUBIC)
    brightest = 2**_BITS - 1
    grain = np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32) * np.float32(noise)
    return np.asarray(np.clip(np.rint(anatomy * brightest + grain), 0, brightest), dtype=np.uint16)


def screen_copy(seed: int, *, side: int = _SCREEN_SIDE) -> NDArray[np.uint8]:
    """Return a film as viewers export it: ``(side, side)`` uint8."""
    return np.asarray(radiograph(seed, rows=side, columns=side, noise=SCREEN_NOISE) >> (_BITS - 8), dtype=np.uint8)


def screen_png(seed: int) -> bytes:
    """Return a gray PNG of 1024 by 1024 pixels, about 500 kB."""
    return films.png_film(screen_copy(seed))


def screen_jpeg(seed: int) -> bytes:
    """Return a gray baseline JPEG of 1024 by 1024 pixels."""
    return films.jpeg_film(screen_copy(seed), quality=_JPEG_QUALITY)


def plate_as(pixels: NDArray[Any], syntax: str, **attributes: Any) -> bytes:
    """Return pixels as a CR film of this transfer syntax; ``attributes`` are DICOM keywords that it has besides."""
    return films.dicom_film(pixels, transfer_syntax=syntax, **attributes)


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One film in one format. ``is_dicom`` says which of the usual ways opens it."""

    name: str
    payload: bytes
    is_dicom: bool


def every_format(*names: str, seed: int = 0) -> list[Encoded]:
    """Return a CR film of 2500 by 3000 pixels in every judged transfer syntax, and films as PNG and JPEG.

    With ``names`` only those formats; some take seconds to encode.
    """
    plate = radiograph(seed, rows=_CR_ROWS, columns=_CR_COLUMNS)
    inverted, eight_bit = 2**_BITS - 1 - plate, (plate >> (_BITS - 8)).astype(np.uint8)
    drawn: dict[str, Callable[[], bytes]] = {
        **{name: partial(plate_as, plate, syntax) for name, syntax in _SYNTAXES.items()},
        "raw CR without VOI": partial(plate_as, plate, films.EXPLICIT, WindowCenter=None, WindowWidth=None),
        "raw CR, MONOCHROME1": partial(plate_as, inverted, films.EXPLICIT, PhotometricInterpretation="MONOCHROME1"),
        "JPEG baseline in DICOM": partial(plate_as, eight_bit, films.JPEG_BASELINE),
    }
    rasters: dict[str, Callable[[], bytes]] = {
        "PNG 1024": lambda: screen_png(seed),
        "PNG 1024, 16 bit": lambda: films.png_film(_sixteen_bit(seed)),
        "JPEG 1024": lambda: screen_jpeg(seed),
    }
    return [
        Encoded(name=name, payload=draw(), is_dicom=name in drawn)
        for name, draw in (drawn | rasters).items()
        if not names or name in names
    ]


_SYNTAXES: Final = {
    "raw CR": films.EXPLICIT,
    "JPEG lossless": films.JPEG_LOSSLESS_SV1,
    "JPEG-LS": films.JPEG_LS,
    "RLE": films.RLE,
    "JPEG 2000": films.JPEG_2000_LOSSLESS,
    "JPEG 2000 lossy": films.JPEG_2000,
    "HTJ2K": films.HTJ2K_LOSSLESS,
}


def _sixteen_bit(seed: int) -> NDArray[np.uint16]:
    levels = radiograph(seed, rows=_SCREEN_SIDE, columns=_SCREEN_SIDE)
    return np.asarray(levels << (16 - _BITS), dtype=np.uint16)
