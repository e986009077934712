"""Two ways to put load on a service: so many films at once (closed loop), or films at their times (open loop).

Owns when a film is sent, and the clock. Must not know HTTP: how a film is delivered is handed in, so that other servers
are measured by the same loop.

A closed loop measures what a service can do; its latencies say little, because it sends less while the service is
slow. An open loop measures what callers see: a film's latency counts from the time it was due, also where the generator
or the service was late (coordinated omission; Tene, "How NOT to measure latency", 2015).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

# Above this many an overloaded service would cost the generator its descriptors; films wait then, and it counts.
MOST_IN_FLIGHT: Final = 512


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What became of one film.

    ``kind`` is an outcome's name or an error's code; ``is_good`` whether it is what was hoped for; ``accepted_at`` when
    the service took it, by ``time.perf_counter``; ``pause_seconds`` what the service asks this sender to wait.
    """

    kind: str
    is_good: bool
    accepted_at: float | None = None
    pause_seconds: float = 0.0


Deliver: TypeAlias = Callable[[int], Awaitable[Ending]]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One film; times in seconds since the run began: when it was ``due``, and when it was ``sent``."""

    number: int
    due: float
    sent: float
    accepted: float | None
    ended: float
    kind: str
    is_good: bool


OnSample: TypeAlias = Callable[[Sample], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was measured. ``seconds`` is how long films were sent, not how long the last ones took to end."""

    samples: tuple[Sample, ...]
    seconds: float


async def run_closed(
    deliver: Deliver,
    *,
    concurrency: int,
    seconds: float | None = None,
    films: int | None = None,
    on_sample: OnSample | None = None,
) -> Run:
    """Keep ``concurrency`` films on their way for ``seconds``, or until so many ``films`` are sent.

    A film under way when time is up still ends. A sender whose film was refused waits as long as the service asks.
    """
    assert (seconds is None) != (films is None), "a run ends after a time or after so many films"
    recorder = _Recorder(deliver, on_sample)

    async def send_on() -> None:
        while _has_more(recorder, seconds=seconds, films=films):
            ending = await recorder.send(due=recorder.now())
            if ending.pause_seconds:
                await asyncio.sleep(ending.pause_seconds)

    async with asyncio.TaskGroup() as senders:
        for _ in range(concurrency):
            senders.create_task(send_on())
    return recorder.run(seconds=seconds)


def _has_more(recorder: _Recorder, *, seconds: float | None, films: int | None) -> bool:
    if films is not None:
        return recorder.begun < films
    assert seconds is not None
    return recorder.now() < seconds


async def run_open(deliver: Deliver, *, arrivals: Iterable[float], on_sample: OnSample | None = None) -> Run:
    """Send a film at each of ``arrivals``, rising seconds since the run began, whatever becomes of the others."""
    recorder = _Recorder(deliver, on_sample)
    room = asyncio.Semaphore(MOST_IN_FLIGHT)
    last = 0.0

    async def send(due: float) -> None:
        try:
            await recorder.send(due=due)
        finally:
            room.release()

    async with asyncio.TaskGroup() as senders:
        for due in arrivals:
            await asyncio.sleep(due - recorder.now())  # returns at once where it is late
            await room.acquire()
            senders.create_task(send(due))
            last = due
    return recorder.run(seconds=last)


class _Recorder:
    """Delivers films one after the other number, and writes down what became of them."""

    def __init__(self, deliver: Deliver, on_sample: OnSample | None) -> None:
        self._deliver = deliver
        self._on_sample = on_sample
        self._samples: list[Sample] = []
        self._began = time.perf_counter()
        self.begun = 0

    def now(self) -> float:
        return time.perf_counter() - self._began

    async def send(self, *, due: float) -> Ending:
        number, sent = self.begun, self.now()
        self.begun += 1
        ending = await self._deliver(number)
        sample = Sample(
            number=number,
            due=due,
            sent=sent,
            accepted=None if ending.accepted_at is None else ending.accepted_at - self._began,
            ended=self.now(),
            kind=ending.kind,
            is_good=ending.is_good,
        )
        self._samples.append(sample)
        if self._on_sample is not None:
            self._on_sample(sample)
        return ending

    def run(self, *, seconds: float | None) -> Run:
        lasted = max((sample.ended for sample in self._samples), default=0.0) if seconds is None else seconds
        return Run(samples=tuple(self._samples), seconds=lasted)
