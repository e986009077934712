"""Table (a): a film's bytes to the network's tensor, our way against the usual way, format by format.

``python -m benchmarks.decoding`` writes ``runs/bench/decoding.json``. Processor time of one core, both ways in turn,
medians: what else runs on the machine hits both. Ours is measured twice: bytes to tensor, which is what the usual way
does, and all that a decoding child does with a film besides (digest, both gates, preview).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks import usual
from benchmarks.films import Encoded, every_format
from benchmarks.machine import machine_facts, pinned
from benchmarks.results import Row, part_options, write_part
from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.gate import GateSpec
from model.image import Tensor
from model.preprocessing import PreprocessingSpec, preprocess
from services.jobs.records import Claims
from services.worker.decoding.film import answer, warm_up
from services.worker.decoding.messages import FilmOrder, ReplyStatus
from services.worker.decoding.nursery import MEMORY_IS_KEPT

SIDE: Final = 512
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
_SECONDS, _QUICK_SECONDS = 8.0, 1.0


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


def our_tensor(payload: bytes) -> Tensor:
    """Return ``(1, SIDE, SIDE)`` uint8 by the functions that serve and train."""
    return preprocess(decode(payload, inspect_header(payload)), PreprocessingSpec(size=SIDE))


def measure(film: Encoded, *, seconds: float) -> Timed:
    """Measure one film for about so long; fewer rounds than three tell nothing."""
    usual_way = usual.dicom_to_tensor if film.is_dicom else usual.raster_to_tensor
    require_same_film(film, usual_way(film.payload, SIDE), our_tensor(film.payload))
    with _payload_file(film.payload) as descriptor:
        order = _order(film.payload)
        ways: list[Callable[[], object]] = [
            lambda: usual_way(film.payload, SIDE),
            lambda: our_tensor(film.payload),
            lambda: _walk(order, descriptor),
        ]
        rounds = _interleaved(ways, seconds)
    usual_ms, ours_ms, child_ms = (list(column) for column in zip(*rounds, strict=True))
    return Timed(film=film, usual_ms=usual_ms, ours_ms=ours_ms, child_ms=child_ms)


def _interleaved(ways: Sequence[Callable[[], object]], seconds: float) -> list[list[float]]:
    for way in ways:
        way()
    rounds: list[list[float]] = []
    until = time.perf_counter() + seconds
    while len(rounds) < _LEAST_ROUNDS or (time.perf_counter() < until and len(rounds) < _MOST_ROUNDS):
        rounds.append([_processor_ms(way) for way in ways])
    return rounds


def _processor_ms(way: Callable[[], object]) -> float:
    started = time.process_time_ns()
    way()
    return (time.process_time_ns() - started) / 1e6


@contextlib.contextmanager
def _payload_file(payload: bytes) -> Iterator[int]:
    """Yield the payload as a child gets it: an open descriptor of a file in memory."""
    descriptor = os.memfd_create("film")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(payload)
        yield descriptor
    finally:
        os.close(descriptor)


def _order(payload: bytes) -> FilmOrder:
    return FilmOrder(
        payload_bytes=len(payload),
        sha256=hashlib.sha256(payload).hexdigest(),
        claims=Claims(),
        gate=GateSpec(),
        preprocessing=PreprocessingSpec(size=SIDE),
    )


def _walk(order: FilmOrder, descriptor: int) -> None:
    reply, _ = answer(order, descriptor)
    if reply.status is not ReplyStatus.TENSOR:
        raise NotTheSameFilm(f"a decoding child refuses the film: {reply.reason}")


def require_same_film(film: Encoded, theirs: NDArray[np.float32], ours: Tensor) -> None:
    """Return if both ways have read the same film: the time of a wrong answer is no figure.

    Raises
    ------
    NotTheSameFilm
        If they correlate less than two resamplings of one film do.
    """
    shown = ours[0]
    rows, columns = shown.any(axis=1), shown.any(axis=0)  # without the letterbox, which the usual way does not have
    stretched = cv2.resize(shown[rows][:, columns].astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
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
        besides = f"with digest, gates and preview; {child_ms - ours_ms:.2f} ms beside the tensor"
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
                "stretch_ms": STRETCH_MS.get(one.film.name),
            }
            for one in timed
        ],
        "rounds": {
            one.film.name: {"usual_ms": one.usual_ms, "ours_ms": one.ours_ms, "child_ms": one.child_ms} for one in timed
        },
    }


def _run_as_children_do() -> None:
    """Begin again with the allocator's settings of a decoding child, which the usual way gets too.

    The C library reads them once, when a process begins; does nothing where they are in place.
    """
    if not MEMORY_IS_KEPT.items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmarks.decoding", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | MEMORY_IS_KEPT)


def main() -> None:
    """Measure every format on one core and write the part."""
    _run_as_children_do()
    options = part_options(__doc__)
    started = machine_facts()
    seconds = _QUICK_SECONDS if options.is_quick else _SECONDS
    films = every_format()
    cv2.setNumThreads(1)
    with pinned([max(os.sched_getaffinity(0))]):
        warm_up()
        timed = [measure(film, seconds=seconds) for film in track(films, description="decoding")]
    write_part("decoding", rows_of(timed), data_of(timed), started=started, options=options)


if __name__ == "__main__":
    main()
