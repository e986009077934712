"""Small films that are told apart by their scores: each row knows beforehand what each of its films must end with.

What an undisturbed service makes of a film is computed here by the same functions, in one process, without queue,
spool or Redis: whatever a fault mixes up, repeats or half-does shows as another probability.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imagecodecs
import numpy as np

from model.bundle import read_bundle
from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.gate import GateSpec, gate_header, gate_image
from model.image import Tensor
from model.preprocessing import PreprocessingSpec, preprocess
from model.runtime import Provider, Scorer
from services.jobs.records import Priority, instance_id
from tests.support.films import phantom_pixels

DYING: Final = "dying_of"  # what a worker's last line says before it dies of poison (poisoned_worker)
POISON_SIDE: Final = 4  # pixels of a tensor's white corner, see ``is_poison``
_SIDE: Final = 96
_WHITE_CORNER: Final = 9
_STAT_EVERY: Final = 10
_SCORED_AT_ONCE: Final = 256


@dataclass(frozen=True, kw_only=True)
class ToldApartFilm:
    """A film, the id that it must get, and the probability that an undisturbed service gives it."""

    payload: bytes
    film_id: str
    priority: Priority
    probability: float
    is_flagged: bool
    is_poison: bool = False


def told_apart_films(
    count: int, bundle_directory: Path, *, start: int = 0, poisoned: Sequence[int] = ()
) -> list[ToldApartFilm]:
    """Draw ``count`` films, every tenth of them stat; those at ``poisoned`` are deadly to a poisoned worker.

    ``start`` numbers them, so that two calls give different films.
    """
    payloads = [_film(start + at, is_poison=at in poisoned) for at in range(count)]
    bundle = read_bundle(bundle_directory)
    spec, point = bundle.manifest.preprocessing, bundle.manifest.operating_point(None)
    scorer = Scorer(bundle, provider=Provider.CPU, threads=1)
    films = []
    for page in range(0, count, _SCORED_AT_ONCE):
        tensors = [_tensor(payload, spec) for payload in payloads[page : page + _SCORED_AT_ONCE]]
        for at, score in enumerate(scorer.score(np.stack(tensors)), start=page):
            payload = payloads[at]
            sha256 = hashlib.sha256(payload).hexdigest()
            films.append(
                ToldApartFilm(
                    payload=payload,
                    film_id=instance_id(site="default", sop_instance_uid=None, sha256=sha256),
                    priority=Priority.STAT if at % _STAT_EVERY == 0 else Priority.ROUTINE,
                    probability=score.probability,
                    is_flagged=score.probability >= point.threshold,
                    is_poison=at in poisoned,
                )
            )
    return films


def is_poison(tensor: Tensor) -> bool:
    """Return whether a ``(1, s, s)`` tensor is of a film drawn as poison: its upper left corner is white."""
    return bool((tensor[0, :POISON_SIDE, :POISON_SIDE] == np.iinfo(np.uint8).max).all())


def _film(number: int, *, is_poison: bool) -> bytes:
    """Return a PNG of ``(96, 96)``: the phantom, dimmed by its number, which is also written in its last row."""
    dimmed = 0.6 + 0.4 * ((number * 0.6180339887) % 1.0)
    pixels = np.rint(phantom_pixels(0, rows=_SIDE, columns=_SIDE, bits=8) * dimmed).astype(np.uint8)
    pixels[-1, :32] = [(number >> bit & 1) * 40 for bit in range(32)]
    if is_poison:
        pixels[:_WHITE_CORNER, :_WHITE_CORNER] = np.iinfo(np.uint8).max
    return bytes(imagecodecs.png_encode(pixels))


def _tensor(payload: bytes, spec: PreprocessingSpec) -> Tensor:
    header = inspect_header(payload)
    gate_header(header, GateSpec())
    image = decode(payload, header)
    gate_image(image, header)
    return preprocess(image, spec)
