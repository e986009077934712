"""The two sides of table (a), processes that live as long as the table: each is handed films and says what they cost.

Two processes, because the C library reads its allocator's settings once, when a process begins. The usual way has the
library's own, as a script or a server has that nobody tuned; ours those of a decoding child. Both are asked in turns,
and each reads its own processor time, so that neither pays for the other or for the asking.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from multiprocessing.connection import Connection
from typing import Any, Final

import cv2

from benchmarks import usual
from benchmarks.films import Encoded
from benchmarks.results import ROOT
from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.gate import GateSpec
from model.image import Tensor
from model.preprocessing import PreprocessingSpec, preprocess
from services.jobs.records import Claims
from services.worker.decoding.film import answer, warm_up
from services.worker.decoding.messages import FilmOrder, ReplyStatus
from services.worker.decoding.nursery import MEMORY_IS_KEPT

SIDE_PIXELS: Final = 512
_STOP_SECONDS: Final = 10.0


class Way(StrEnum):
    """What is done with a film's bytes."""

    USUAL = "usual"  # to the tensor, as most people write it
    OURS = "ours"  # to the tensor, by the functions that serve and train
    CHILD = "child"  # all that a decoding child does: digest, both gates and preview too


class FilmRefused(Exception):
    """A decoding child would not score this film: its time is no figure."""


class Side:
    """One of the two processes; ``with`` ends it. ``way`` is what it does, ``CHILD`` belongs to ours."""

    def __init__(self, way: Way) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.decoding_side", way, str(theirs.fileno())],
                cwd=ROOT,
                env=allocator_settings(way, os.environ),
                pass_fds=[theirs.fileno()],
            )
        self._connection = Connection(ours.detach())

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()  # it ends when nobody can ask it any more
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(self, film: Encoded) -> Any:
        """Hand it a film; return the tensor that it makes of it. Everything has run once then."""
        self._connection.send(film)
        return self._connection.recv()

    def processor_ms(self, way: Way) -> float:
        """Have it read the film once more, and return what that cost it."""
        self._connection.send(str(way))  # in the other process this module is the main one, and has another Way
        return float(self._connection.recv())


def allocator_settings(way: Way, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a side: the usual way gets no setting of an allocator, whoever calls had one or not."""
    untuned = {name: value for name, value in inherited.items() if not name.startswith("MALLOC_")}
    return untuned if way is Way.USUAL else untuned | MEMORY_IS_KEPT


def our_tensor(payload: bytes) -> Tensor:
    """Return ``(1, SIDE_PIXELS, SIDE_PIXELS)`` uint8 by the functions that serve and train."""
    return preprocess(decode(payload, inspect_header(payload)), PreprocessingSpec(size=SIDE_PIXELS))


def usual_tensor(film: Encoded) -> Any:
    """Return ``(1, 3, SIDE_PIXELS, SIDE_PIXELS)`` float32 as most people get it."""
    return (usual.dicom_to_tensor if film.is_dicom else usual.raster_to_tensor)(film.payload, SIDE_PIXELS)


def _serve(connection: Connection, side: Way) -> None:
    """Answer until nobody asks any more."""
    with contextlib.suppress(EOFError):
        film = connection.recv()
        while True:
            film = _serve_film(connection, side, film)


def _serve_film(connection: Connection, side: Way, film: Encoded) -> Encoded:
    """Answer what is asked about one film; return the next."""
    with _ways(side, film) as ways:
        first, *others = ways.values()
        connection.send(first())
        for other in others:
            other()
        while isinstance(asked := connection.recv(), str):
            way = ways[Way(asked)]
            started = time.process_time_ns()
            way()
            connection.send((time.process_time_ns() - started) / 1e6)
    next_film: Encoded = asked
    return next_film


@contextlib.contextmanager
def _ways(side: Way, film: Encoded) -> Iterator[dict[Way, Callable[[], Any]]]:
    if side is Way.USUAL:
        yield {Way.USUAL: lambda: usual_tensor(film)}
        return
    with _payload_file(film.payload) as descriptor:
        order = _order(film.payload)
        yield {Way.OURS: lambda: our_tensor(film.payload), Way.CHILD: lambda: _walk(order, descriptor)}


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
        preprocessing=PreprocessingSpec(size=SIDE_PIXELS),
    )


def _walk(order: FilmOrder, descriptor: int) -> None:
    reply, _ = answer(order, descriptor)
    if reply.status is not ReplyStatus.TENSOR:
        raise FilmRefused(f"a decoding child refuses the film: {reply.reason}")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    warm_up()
    with Connection(int(sys.argv[2])) as asked_through:
        _serve(asked_through, Way(sys.argv[1]))
