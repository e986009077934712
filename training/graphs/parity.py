"""Does the graph answer as the network does, and does its map explain its own margin? Pure arithmetic on answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.errors import ParityError
from training.graphs.served import CAM, EMBEDDING, MARGIN

COMPLETENESS_TOLERANCE: Final = 1e-5
# These have no scale of their own: their tolerance is a share of the largest value among the films.
_RELATIVE = frozenset({CAM, EMBEDDING, MARGIN})

# The gate's embedding is full of roots of small numbers and is only compared with a percentile, by a distance.
_FACTORS = {EMBEDDING: 100.0}

AnyFloats = NDArray[np.floating[Any]]


def allowed_difference(name: str, tolerance: float) -> float:
    """Return what the output ``name`` may differ by where probabilities may by ``tolerance``."""
    return tolerance * _FACTORS.get(name, 1.0)


def require_parity(
    network: Mapping[str, AnyFloats], graph: Mapping[str, AnyFloats], tolerance: float
) -> dict[str, float]:
    """Return the largest difference of each output: absolute for probabilities, relative for all others.

    Relative means: over the largest absolute value of that output among these films, or over 1 where that is larger.
    ``tolerance`` is that of probabilities, ``allowed_difference`` says what follows for other outputs.

    Raises
    ------
    ParityError
        If one exceeds what is allowed, is no number, or if the graph lacks an output.
    """
    differences = {}
    for name, expected in network.items():
        if name not in graph:
            raise ParityError(f"the exported graph has no output '{name}'")
        scale = _scale(expected) if name in _RELATIVE else 1.0
        difference = float(np.abs(expected - graph[name]).max()) / scale
        allowed = allowed_difference(name, tolerance)
        if not difference <= allowed:
            raise ParityError(
                f"the exported graph's {name} differs from the network's by {difference:.1e}, allowed is {allowed:g}"
            )
        differences[name] = difference
    return differences


def completeness(answers: Mapping[str, AnyFloats], bases: AnyFloats) -> float:
    """Return the largest ``|mean(cam) + base - margin|`` over films, relative as the margin's own parity is.

    ``answers`` holds ``cam`` and ``margin``; ``bases`` ``(n,)`` are the margins without any feature of each film.
    """
    means = answers[CAM].mean(axis=(1, 2), dtype=np.float64)
    return float(np.abs(means + bases - answers[MARGIN]).max()) / _scale(answers[MARGIN])


def _scale(answers: AnyFloats) -> float:
    # Of margins beyond 1, float32 holds relative digits only.
    return max(1.0, float(np.abs(answers).max()))


def map_correlations(expected: AnyFloats, actual: AnyFloats) -> NDArray[np.float64]:
    """Return the correlation of each film's two maps ``(n, rows, columns)``; films with a flat map are left out."""
    centred = [maps.reshape(len(maps), -1).astype(np.float64) for maps in (expected, actual)]
    first, second = (maps - maps.mean(axis=1, keepdims=True) for maps in centred)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    has_shape = lengths > 0
    return np.asarray((first * second).sum(axis=1)[has_shape] / lengths[has_shape])
