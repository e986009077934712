"""Table (a): a film's bytes to the network's tensor, our way against the usual way, format by format.

``python -m benchmarks.decoding`` writes ``runs/bench/decoding.json``. Processor time of one core, both ways in turn,
medians: what else runs on the machine hits both. Each way is a process of its own (``decoding_side``), the usual one
with the C library's own allocator, ours with the settings of a decoding child. Ours is measured twice: bytes to tensor,
which is what the usual way does, and all that a decoding child does with a film besides (digest, both gates, preview).
Quick: the formats that have a goal.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks import usual
from benchmarks.decoding_side import SIDE_PIXELS, Side, Way
from benchmarks.family import run_part
from benchmarks.films import Encoded, every_format
from benchmarks.machine import machine_facts, pinned
from benchmarks.results import Row, part_options, write_part
from model.image import Tensor

# How many times faster than the usual way each format has to be (issue 6); the others are told.
GOALS: Final = {
    "raw CR": 25.0,
    "JPEG lossless": 6.0,
    "JPEG-LS": 2.5,
    "RLE": 5.0,
    "PNG 1024": 2.0,
    "JPEG 1024": 4.0,
}
# PERFORMANCE.md's own goals, in milliseconds of the machine that it was written on.
STRETCH_MS: Final = {
    "raw CR": 2.0,
    "JPEG lossless": 36.0,
    "RLE": 10.0,
    "JPEG-LS": 98.0,
    "HTJ2K": 33.0,
    "JPEG 2000": 680.0,
    "PNG 1024": 5.0,
}
# Two resamplings of one film correlate like this and better; a film decoded wrongly (shifted bits, inverted) does not.
_SAME_FILM: Final = 0.99
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 61


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long each film is measured, and whether those are that no goal is about."""

    seconds: float
    is_goals_only: bool


_FULL: Final = Effort(seconds=8.0, is_goals_only=False)
_QUICK: Final = Effort(seconds=2.0, is_goals_only=True)


class NotTheSameFilm(Exception):
    """One of two ways has read a film wrongly."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Processor time of one film by three ways, in milliseconds, one value a round."""

    film: Encoded
    usual_ms: list[float]
    ours_ms: list[float]
    child_ms: list[float]

    @property
    def times(self) -> float:
        """How many times faster ours is: the median of the rounds' ratios, whose halves ran one after the other."""
        return statistics.median(usual / ours for usual, ours in zip(self.usual_ms, self.ours_ms, strict=True))


def measure(film: Encoded, usual_side: Side, our_side: Side, *, effort: Effort) -> Timed:
    """Measure one film, the sides in turns, for about as long as ``effort`` says."""
    require_same_film(film, usual_side.open(film), our_side.open(film))
    rounds: list[tuple[float, float, float]] = []
    until = time.perf_counter() + effort.seconds
    while len(rounds) < _LEAST_ROUNDS or (time.perf_counter() < until and len(rounds) < _MOST_ROUNDS):
        theirs = usual_side.processor_ms(Way.USUAL)
        rounds.append((theirs, our_side.processor_ms(Way.OURS), our_side.processor_ms(Way.CHILD)))
    usual_ms, ours_ms, child_ms = (list(column) for column in zip(*rounds, strict=True))
    return Timed(film=film, usual_ms=usual_ms, ours_ms=ours_ms, child_ms=child_ms)


def require_same_film(film: Encoded, theirs: NDArray[np.float32], ours: Tensor) -> None:
    """Return if both ways have read the same film: the time of a wrong answer is no figure.

    Raises
    ------
    NotTheSameFilm
        If they correlate less than two resamplings of one film do.
    """
    shown = ours[0]
    rows, columns = shown.any(axis=1), shown.any(axis=0)  # without the letterbox, which the usual way does not have
    stretched = cv2.resize(
        shown[rows][:, columns].astype(np.float32), (SIDE_PIXELS, SIDE_PIXELS), interpolation=cv2.INTER_LINEAR
    )
    likeness = float(np.corrcoef(stretched.ravel(), usual.gray_of(theirs).ravel())[0, 1])
    if likeness < _SAME_FILM:
        raise NotTheSameFilm(f"{film.name}: our tensor and the usual one correlate at {likeness:.3f}")


def rows_of(timed: Sequence[Timed]) -> list[Row]:
    """Return the table's rows: how many times faster, and what is spent in all."""
    rows = []
    for one in timed:
        usual_ms, ours_ms, child_ms = (
            statistics.median(values) for values in (one.usual_ms, one.ours_ms, one.child_ms)
        )
        note = f"{usual_ms:.1f} ms the usual way, {ours_ms:.2f} ms ours, {len(one.ours_ms)} rounds"
        goal, name = GOALS.get(one.film.name), f"{one.film.name} to tensor"
        if goal is None:
            rows.append(Row.told(name, measured=one.times, unit="x", note=note))
        else:
            rows.append(Row.at_least(name, goal=goal, measured=one.times, unit="x", note=note))
        beside_ms = statistics.median(child - ours for child, ours in zip(one.child_ms, one.ours_ms, strict=True))
        besides = f"with digest, gates and preview; {beside_ms:.2f} ms beside the tensor"
        rows.append(Row.told(f"{one.film.name} in a decoding child", measured=child_ms, unit="ms", note=besides))
    return rows


def data_of(timed: Sequence[Timed]) -> dict[str, Any]:
    """Return medians for the page's plot, and every round for whoever doubts a median."""
    return {
        "table": [
            {
                "item": one.film.name,
                "payload_bytes": len(one.film.payload),
                "usual_ms": statistics.median(one.usual_ms),
                "ours_ms": statistics.median(one.ours_ms),
                "child_ms": statistics.median(one.child_ms),
                "times": one.times,
                "stretch_ms": STRETCH_MS.get(one.film.name),
            }
            for one in timed
        ],
        "rounds": {
            one.film.name: {"usual_ms": one.usual_ms, "ours_ms": one.ours_ms, "child_ms": one.child_ms} for one in timed
        },
    }


def main() -> None:
    """Measure every format on one core and write the part."""
    options, started = part_options(__doc__), machine_facts()
    effort = _QUICK if options.is_quick else _FULL
    films = every_format(*(GOALS if effort.is_goals_only else ()))
    with pinned([max(os.sched_getaffinity(0))]), Side(Way.USUAL) as usual_side, Side(Way.OURS) as our_side:
        timed = [measure(film, usual_side, our_side, effort=effort) for film in track(films, description="decoding")]
    write_part("decoding", rows_of(timed), data_of(timed), started=started, options=options)


if __name__ == "__main__":
    run_part(main)
