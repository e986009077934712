"""What the gate is fitted on beside the films themselves: their variations, and counterfeits of them.

Variations are still chest films: through 64 pixels, a little turned, moved, scaled, brighter, letterboxed. Counterfeits
are none any more: turned, mirrored top to bottom, inverted, cut into tiles and shuffled, robbed of their phase, zoomed
into, shrunk into a corner; they show in which directions a picture can differ from every chest film. No foreign picture
is needed, so foreign pictures remain a test. The network never sees any of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from model.image import Tensor

_Film: TypeAlias = NDArray[np.uint8]
_THROUGH = 64
_MOVED_COPIES = 3
_TURN_DEGREES, _SCALE, _SHIFT, _GAMMA_SPREAD = 6.0, (0.88, 1.15), 0.06, 0.25
_LETTERBOX = 0.78
_TILINGS = (2, 3, 4)
# Shares of the side: what is left of a film that is zoomed into, and how small a shrunk one becomes.
_ZOOM = (0.25, 0.5)
_SHRINK = (0.25, 0.56)


def through_64(films: Tensor) -> Tensor:
    """Return the films ``(n, 1, s, s)`` uint8 as a 64 x 64 thumbnail of them would arrive; the same where s <= 64."""
    if films.shape[-1] <= _THROUGH:
        return films
    return _each(films, lambda film: _resized(_resized(film, _THROUGH), len(film)))


def variations(films: Tensor, *, seed: int) -> Iterator[Tensor]:
    """Yield versions of all films ``(n, 1, s, s)`` uint8 that are chest films still, one kind at a time."""
    rng = np.random.default_rng(seed)
    yield through_64(films)
    for _ in range(_MOVED_COPIES):
        yield _each(films, partial(_moved, rng=rng))
    yield _each(films, _letterboxed)


def counterfeits(films: Tensor, *, seed: int) -> Iterator[Tensor]:
    """Yield versions of all films ``(n, 1, s, s)`` uint8 that are chest films no more, one kind at a time."""
    rng = np.random.default_rng(seed)
    yield np.ascontiguousarray(np.rot90(films, 1, (2, 3)))
    yield np.ascontiguousarray(np.rot90(films, 3, (2, 3)))
    yield np.ascontiguousarray(films[:, :, ::-1])
    yield np.asarray(255 - films, dtype=np.uint8)
    for tiles in _TILINGS:
        yield _each(films, partial(_shuffled, tiles=tiles, rng=rng))
    yield _each(films, partial(_scrambled, rng=rng))
    yield _each(films, partial(_zoomed, rng=rng))
    yield _each(films, partial(_shrunk, rng=rng))


def _each(films: Tensor, change: Callable[[_Film], _Film]) -> Tensor:
    return np.stack([change(film[0])[np.newaxis] for film in films])


def _moved(film: _Film, rng: np.random.Generator) -> _Film:
    side = len(film)
    turn = cv2.getRotationMatrix2D(
        (side / 2, side / 2), rng.uniform(-_TURN_DEGREES, _TURN_DEGREES), rng.uniform(*_SCALE)
    )
    turn[:, 2] = turn[:, 2] + rng.uniform(-_SHIFT, _SHIFT, 2) * side
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    moved = cv2.warpAffine(film, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=border)
    brighter = 255 * (moved / 255) ** np.exp(rng.normal(0, _GAMMA_SPREAD))
    return np.asarray(np.rint(brighter), dtype=np.uint8)


def _letterboxed(film: _Film) -> _Film:
    side = len(film)
    width = round(side * _LETTERBOX)
    boxed = np.zeros_like(film)
    left = (side - width) // 2
    boxed[:, left : left + width] = cv2.resize(film, (width, side), interpolation=cv2.INTER_AREA)
    return boxed


def _shuffled(film: _Film, *, tiles: int, rng: np.random.Generator) -> _Film:
    side = len(film) // tiles
    cut = film[: side * tiles, : side * tiles].reshape(tiles, side, tiles, side).swapaxes(1, 2)
    mixed = rng.permutation(cut.reshape(tiles * tiles, side, side)).reshape(tiles, tiles, side, side)
    return _resized(mixed.swapaxes(1, 2).reshape(side * tiles, side * tiles), len(film))


def _scrambled(film: _Film, rng: np.random.Generator) -> _Film:
    phase = np.angle(np.fft.fft2(rng.random(film.shape)))
    mixed = np.fft.ifft2(np.abs(np.fft.fft2(film)) * np.exp(1j * phase)).real
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _zoomed(film: _Film, rng: np.random.Generator) -> _Film:
    side = int(len(film) * rng.uniform(*_ZOOM))
    top, left = rng.integers(0, len(film) - side, 2)
    return _resized(film[top : top + side, left : left + side], len(film))


def _shrunk(film: _Film, rng: np.random.Generator) -> _Film:
    side = int(len(film) * rng.uniform(*_SHRINK))
    top, left = rng.integers(0, len(film) - side, 2)
    ground = np.full_like(film, rng.integers(0, 256))
    ground[top : top + side, left : left + side] = _resized(film, side)
    return ground


def _resized(film: _Film, side: int) -> _Film:
    interpolation = cv2.INTER_AREA if side < len(film) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(film, (side, side), interpolation=interpolation), dtype=np.uint8)
