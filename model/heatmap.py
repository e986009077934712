"""What raised a film's score, drawn over the film. The explaining step of the walk; knows arrays only.

A heat map shows where the network found what it counts as unhealthy. It does not show where disease is: a film can be
flagged for a tube or a marker, and a finding can lie where nothing glows.

Heat is in log-odds. A class activation map's mean plus a base is the network's log-odds of *unhealthy*, so that a cell
of value ``v`` says: were the whole film like this place, the log-odds would be ``base + v``. Only what raises the score
is drawn, and only what lies over the film: heat in the letterbox's padding is neither drawn nor counted. Full heat is
the film's own hottest place, but at least ``FULL_HEAT``: a calm film does not glow merely because something in it has
to be its maximum.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from model.preview import Preview

Activation: TypeAlias = NDArray[np.float32]

# Log-odds (natural) of the calibrated probability that are drawn as full heat in a film that has nothing hotter; they
# turn even odds into 0.95. A film whose hottest place adds a tenth of that is drawn at a tenth of the opacity.
FULL_HEAT: Final = 3.0
# Of 255: the film must stay readable under the hottest place.
_MOST_OPAQUE: Final = 153
_MOST_CELLS: Final = 256


def is_drawable(activation: Activation) -> bool:
    """Return whether a map is one that ``heat`` takes: two sides of 1 to 256 cells, every value finite."""
    is_map = activation.ndim == 2 and all(1 <= side <= _MOST_CELLS for side in activation.shape)
    return is_map and bool(np.isfinite(activation).all())


def heat(activation: Activation, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return how much each pixel of a preview raised the score.

    Parameters
    ----------
    activation
        ``(rows, columns)`` float32, log-odds; covers the whole letterboxed square that the network saw.
    shape
        ``(rows, columns)`` of the preview, whose longer side filled that square.

    Returns
    -------
    ndarray
        ``shape`` float32 in [0, 1]; 1 is full heat. The letterbox is cut away.
    """
    rows, columns = shape
    side = max(shape)
    # What lowers the score goes before interpolation: the swing of a cubic beside a cold place would look like heat.
    raising = np.maximum(activation, np.float32(0))
    square = cv2.resize(raising, (side, side), interpolation=cv2.INTER_CUBIC)
    top, left = (side - rows) // 2, (side - columns) // 2
    film = square[top : top + rows, left : left + columns]
    return np.asarray(np.clip(film / max(float(film.max()), FULL_HEAT), 0.0, 1.0), dtype=np.float32)


def heat_layer(activation: Activation, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the heat alone: ``(rows, columns, 4)`` uint8 RGBA, from transparent over red to yellow at full heat."""
    hot = heat(activation, shape)
    layer = np.zeros((*shape, 4), dtype=np.uint8)
    layer[..., 0] = 255
    layer[..., 1] = np.rint(hot * 255)
    layer[..., 3] = np.rint(hot * _MOST_OPAQUE)
    return layer


def overlay(film: Preview, activation: Activation) -> NDArray[np.uint8]:
    """Return the preview with its heat over it: ``(rows, columns, 3)`` uint8 RGB, of the preview's shape."""
    layer = heat_layer(activation, (film.shape[0], film.shape[1]))
    opacity = layer[..., 3:].astype(np.float32) / np.float32(255)
    below = film[..., np.newaxis].astype(np.float32)
    return np.asarray(np.rint(below + opacity * (layer[..., :3] - below)), dtype=np.uint8)
