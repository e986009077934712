"""A deterministic drawing that looks like a frontal chest film to software, not to a radiologist.

For demonstrations, golden inputs and tests, where no real film may be shipped. Never used to train or to evaluate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def chest_phantom(seed: int, *, rows: int = 512, columns: int = 512, opacity: float = 0.0) -> NDArray[np.float32]:
    """Draw lungs, mediastinum, heart, diaphragm and ribs.

    Parameters
    ----------
    seed
        Varies proportions and noise; the same seed gives the same pixels.
    rows, columns
        Size in pixels.
    opacity
        0..1, brightness of a round shadow in one lung.

    Returns
    -------
    ndarray
        ``(rows, columns)`` float32 in [0, 1], 0 black (air).
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].astype(np.float32)
    shift, width = rng.uniform(-0.03, 0.03), rng.uniform(0.92, 1.05)

    def ellipse(cx: float, cy: float, rx: float, ry: float, softness: float = 0.12) -> NDArray[np.float32]:
        radius = np.hypot((x - cx - shift) / (rx * width), (y - cy) / ry)
        return np.asarray(0.5 * (1 - np.tanh((radius - 1) / softness)), dtype=np.float32)

    film = 0.08 + 0.62 * ellipse(0, 0.25, 0.92, 1.25, 0.05)
    film = film - 0.42 * ellipse(-0.42, -0.05, 0.30, 0.62) - 0.42 * ellipse(0.42, -0.05, 0.28, 0.60)
    film = film + 0.22 * ellipse(0.14, 0.28, 0.30, 0.32) + 0.16 * ellipse(0, -0.1, 0.10, 1.1)
    film = film + 0.18 / (1 + np.exp(-(y - 0.62 - 0.1 * np.abs(x)) * 25))
    ribs = np.sin((y - 0.35 * np.abs(x) + rng.uniform(0, 0.1)) * 26) * ellipse(0, -0.1, 0.8, 0.75)
    film = film + 0.035 * ribs + opacity * 0.35 * ellipse(rng.choice([-0.42, 0.42]), 0.1, 0.14, 0.14)
    film = film + rng.normal(0, 0.012, film.shape).astype(np.float32)
    return np.asarray(np.clip(film, 0, 1), dtype=np.float32)
