"""The second door: what the decoded pixels refuse. Knows gray images and the size a header states; no networks."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.decoding.header import Header
from model.errors import CorruptImage, Reason, UnsuitableImage
from model.image import LEAST_CONTRAST, GrayImage
from model.kernels import count_values

_LOOK_AT_SIDE: Final = 512
_FINEST: Final = 65535
# More than a header's 2.5: a film shuttered to one lung is for the embedding to judge, a strip is no chest at all.
_LARGEST_SHOWN_RATIO: Final = 4.0
# A frontal chest film in 8 x 8 fields without the outermost ring, which collimation and letters own: lungs dark beside
# spine and heart, the belly bright below. Mean of the 1,380 films of NIH ChestX-ray14 in shared/data/nih, each scaled
# to mean 0 and deviation 1.
_CHEST_FIELDS: Final = np.array(
    [
        [-0.1, -0.4, -0.1, 0.0, -0.5, -0.1],
        [0.1, -0.7, -0.2, 0.0, -0.8, 0.0],
        [0.1, -0.7, 0.1, 0.3, -0.6, 0.0],
        [0.0, -0.3, 0.5, 0.8, -0.1, 0.0],
        [0.2, 0.3, 0.9, 1.1, 0.5, 0.1],
        [0.5, 1.0, 1.3, 1.3, 1.0, 0.4],
    ]
)
_FIELDS: Final = 8
# Correlation with those fields below which black and white are taken to be exchanged. Measured, see
# docs/decisions/0008-gate.md: 94 to 98 % of inverted films lie below, 2 of 1,380 NIH films (one of them really is
# inverted, one lies upside down).
_INVERTED_BELOW: Final = -0.4


def gate_image(image: GrayImage, header: Header) -> None:
    """Return if the pixels allow judging.

    Raises
    ------
    CorruptImage
        If image and header are not of the same film.
    UnsuitableImage
        Reason ``blank``: the film is constant or almost so (an unexposed plate, a lost detector). ``aspect``: what
        lies within its black borders is longer than four times its width, or the reverse. ``inverted``: it looks like
        the negative of a chest film, so its black and white are exchanged, whatever its header says.
    """
    rows, columns = image.pixels.shape
    _require_size_of(header, rows, columns, image.reduction)
    # Percentiles of a sample: a film has no structure finer than this that would make it less blank.
    steps = max(1, rows // _LOOK_AT_SIDE), max(1, columns // _LOOK_AT_SIDE)
    sample = image.shown(steps)
    if _contrast(sample) < LEAST_CONTRAST:
        raise UnsuitableImage(Reason.BLANK, "the film shows next to no contrast")
    shown = _without_borders(sample)
    ratio = (shown.shape[0] * steps[0] * image.pixel_aspect) / (shown.shape[1] * steps[1])
    if not 1 / _LARGEST_SHOWN_RATIO <= ratio <= _LARGEST_SHOWN_RATIO:
        raise UnsuitableImage(Reason.ASPECT, "within its borders longer than four times its width, or the reverse")
    if _is_negative(shown):
        raise UnsuitableImage(Reason.INVERTED, "black and white are exchanged")


def _require_size_of(header: Header, rows: int, columns: int, reduction: int) -> None:
    """Raise where the pixels are another film's. EXIF may have turned them, a decoder may have shrunk them."""
    stated = [None if side is None else -(-side // reduction) for side in (header.rows, header.columns)]
    if [rows, columns] not in (stated, stated[::-1]):
        raise CorruptImage(Reason.DECODE_ERROR, "the pixels do not belong to this header")


def _contrast(shown: NDArray[np.float32]) -> float:
    """Return how far the darkest and the brightest hundredth are apart; counted, which takes a fifth of sorting."""
    counts = count_values((shown * _FINEST).astype(np.uint16))
    darkest, brightest = np.searchsorted(np.cumsum(counts), (0.01 * shown.size, 0.99 * shown.size))
    return float(brightest - darkest) / _FINEST


def is_inverted(shown: NDArray[np.float32]) -> bool:
    """Return whether a film ``(rows, columns)``, 0 black to 1 white, looks like the negative of a chest film."""
    return _is_negative(_without_borders(shown))


def _is_negative(shown: NDArray[np.float32]) -> bool:
    return chest_likeness(shown) < _INVERTED_BELOW


def chest_likeness(shown: NDArray[np.float32]) -> float:
    """Return the correlation, -1 to 1, of ``(rows, columns)`` gray levels, low black, with a frontal chest film.

    0 where every field is equally bright. The film is taken to fill the picture.
    """
    fields = cv2.resize(shown, (_FIELDS, _FIELDS), interpolation=cv2.INTER_AREA)[1:-1, 1:-1].astype(np.float64)
    fields -= fields.mean()
    chest = _CHEST_FIELDS - _CHEST_FIELDS.mean()
    norm = float(np.linalg.norm(fields) * np.linalg.norm(chest))
    return float((fields * chest).sum()) / norm if norm > 0 else 0.0


def _without_borders(shown: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the film within rows and columns that hold nothing but black: padding, shutters, collimation.

    A film that is all black stays as it is.
    """
    is_lit = shown > LEAST_CONTRAST
    if not is_lit.any():
        return shown
    rows, columns = np.flatnonzero(is_lit.any(axis=1)), np.flatnonzero(is_lit.any(axis=0))
    return shown[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
