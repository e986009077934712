"""Measures one contender in one setup: films a second, latencies and processor time, by how many films it has at once.

Owns the order of a measurement: first answer, warm-up, then the cells. Must not know who is compared with whom.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import uvloop

from benchmarks.peers.contenders import Contender, Setup, Speaks
from benchmarks.peers.delivering import PATIENCE_SECONDS, films_of_cell, our_deliver, peer_deliver
from benchmarks.peers.running import ContenderFailed, Place, Running, running
from services.bench.connections import ConnectionPool
from services.bench.figures import Measured
from services.bench.films import Template
from services.bench.load import Deliver, run_closed

_FIRST_ANSWER_SECONDS: Final = 120.0
_PAUSE_SECONDS: Final = 0.5
_WARM_UP_CONCURRENCY: Final = 8
# Within a cell, until its films are under way as they stay.
_SETTLING_SECONDS: Final = 1.0
# No cell's number: the films of the first answer and of the warm-up are nobody else's.
_FIRST_CELL, _WARM_UP_CELL = 900, 901


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long each part of a measurement takes."""

    warm_up_seconds: float
    cell_seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """What a contender did with ``concurrency`` films on their way.

    ``server_ms`` and ``generator_ms`` are processor time for each film that was scored; ``busy_cores`` is how many
    cores both had on average: where other work takes the rest, films a second say less than milliseconds.
    """

    contender: str
    setup: str
    concurrency: int
    measured: Measured
    server_ms: float
    generator_ms: float
    busy_cores: float

    @property
    def per_second(self) -> float:
        """Films scored a second."""
        return self.measured.per_second

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        facts = {name: value for name, value in vars(self).items() if name != "measured"}
        return facts | {"measured": self.measured.document()}


def measure(
    contender: Contender,
    setup: Setup,
    place: Place,
    templates: Sequence[Template],
    *,
    concurrencies: Sequence[int],
    effort: Effort,
) -> list[Cell]:
    """Start the contender, measure a cell for each concurrency, and stop it.

    Raises
    ------
    ContenderFailed
        If it does not come up or scores no film.
    """
    with running(contender, setup, place) as server:
        measuring = _measure(_Measuring(contender, setup, server, list(templates), effort), place, concurrencies)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(measuring)


@dataclass(frozen=True)
class _Measuring:
    contender: Contender
    setup: Setup
    server: Running
    templates: list[Template]
    effort: Effort

    def deliver(self, pool: ConnectionPool, cell: int) -> Deliver:
        films = films_of_cell(self.templates, cell)
        if self.contender.speaks is Speaks.TRIAGE:
            return our_deliver(pool, films)
        return peer_deliver(pool, films, takes_form=self.contender.speaks is Speaks.FORM)


async def _measure(measuring: _Measuring, place: Place, concurrencies: Sequence[int]) -> list[Cell]:
    pool = ConnectionPool(measuring.server.url, patience_seconds=PATIENCE_SECONDS)
    try:
        await _first_answer(measuring.deliver(pool, _FIRST_CELL), measuring.contender.name, place)
        warm_up = measuring.deliver(pool, _WARM_UP_CELL)
        await run_closed(warm_up, concurrency=_WARM_UP_CONCURRENCY, seconds=measuring.effort.warm_up_seconds)
        return [await _cell(measuring, pool, concurrency) for concurrency in concurrencies]
    finally:
        await pool.close()


async def _first_answer(deliver: Deliver, name: str, place: Place) -> None:
    """Send films, one after the other, until one is scored."""
    deadline, number = time.monotonic() + _FIRST_ANSWER_SECONDS, 0
    while not (ending := await deliver(number)).is_good:
        if time.monotonic() > deadline:
            raise ContenderFailed(f"{name} scores no film ({ending.kind}):\n{place.said()}")
        number += 1
        await asyncio.sleep(_PAUSE_SECONDS)


async def _cell(measuring: _Measuring, pool: ConnectionPool, concurrency: int) -> Cell:
    server_before, own_before, began = measuring.server.cpu_seconds(), time.process_time(), time.perf_counter()
    seconds = _SETTLING_SECONDS + measuring.effort.cell_seconds
    run = await run_closed(measuring.deliver(pool, concurrency), concurrency=concurrency, seconds=seconds)
    wall = time.perf_counter() - began
    server, own = measuring.server.cpu_seconds() - server_before, time.process_time() - own_before
    scored = sum(sample.is_good for sample in run.samples)
    if not scored:
        raise ContenderFailed(f"{measuring.contender.name} scored no film of {len(run.samples)}")
    return Cell(
        contender=measuring.contender.name,
        setup=measuring.setup.name,
        concurrency=concurrency,
        measured=Measured.of(run, warm_up_seconds=_SETTLING_SECONDS),
        server_ms=1000 * server / scored,
        generator_ms=1000 * own / scored,
        busy_cores=(server + own) / wall,
    )
