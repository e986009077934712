"""What one film costs in a worker beside its decoding and its inference, thread by thread.

``python -m benchmarks.worker [--quick]``: one worker with a Redis and a spool of its own, and a queue of PNG films that
never runs dry. Its network is tiny, so that many films come through: what a worker does each tenth of a second beside
its films then counts for little in each. Processor time, but a busy machine makes it longer all the same.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks.family import run_part
from benchmarks.films import screen_png
from benchmarks.loads import ROOMY
from benchmarks.machine import machine_facts
from benchmarks.metered_worker import THREADS_VARIABLE
from benchmarks.results import Row, part_options, write_part
from services.bench.films import Films, template_of
from services.jobs.connection import connect_worker
from services.jobs.queue import JobQueue
from services.jobs.records import Job
from services.jobs.spool import Spool
from tests.support.bundles import write_tiny_bundle
from tests.support.redis_server import RedisServer, redis_binaries
from tests.support.submission import submit_film
from tests.support.worker_process import WorkerProcess

_FILMS, _FILMS_QUICK = 1500, 300
# Caches warm, children forked, memory of batches there.
_WARM_UP_FILMS: Final = 60
_TENSOR_SIDE: Final = 224
_SPOOL_BYTES: Final = 64 * 1024**3
_GOAL_MS: Final = 0.5
_DEADLINE_SECONDS: Final = 900.0
_LOOK_SECONDS: Final = 0.2
# Threads by what they do, as the worker names them; the rest is told as "other".
_STAGES: Final = {
    "MainThread": "event loop",
    "asyncio": "opening payloads",
    "pictures": "writing pictures",
    "inference": "inference",
    "runtime": "inference",
    "meter": "the meter",
}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """How far a worker was, and what everything had cost by then, in seconds."""

    films: int
    wall: float
    threads: Mapping[str, float]
    redis: float
    decoding: float
    rss_bytes: int


def between(first: Moment, last: Moment) -> dict[str, float]:
    """Return milliseconds of processor time a film, by stage."""
    spent: dict[str, float] = {}
    for thread, seconds in last.threads.items():
        stage = next((stage for prefix, stage in _STAGES.items() if thread.startswith(prefix)), "other")
        spent[stage] = spent.get(stage, 0.0) + seconds - first.threads.get(thread, 0.0)
    spent |= {"redis-server": last.redis - first.redis, "decoding": last.decoding - first.decoding}
    return {stage: 1000 * seconds / (last.films - first.films) for stage, seconds in spent.items()}


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A worker under measurement, and what it works for."""

    queue: JobQueue
    redis: RedisServer
    worker: WorkerProcess
    threads: Path
    submitted: int

    async def moment(self, *, films: int) -> Moment:
        """Return how it stands as soon as so many films are done."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while (done := self.submitted - (await self.queue.statistics()).open) < films:
            assert time.monotonic() < deadline, f"{done} of {films} films are done"
            await asyncio.sleep(_LOOK_SECONDS)
        process = psutil.Process(self.worker.process.pid)
        return Moment(
            films=done,
            wall=time.perf_counter(),
            threads=json.loads(self.threads.read_text(encoding="ascii")),
            redis=_cpu_seconds([psutil.Process(self.redis.pid)]),
            decoding=_cpu_seconds(process.children(recursive=True)),
            rss_bytes=int(process.memory_info().rss),
        )


def _cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """Return what processes and their children that have ended cost."""
    times = [process.cpu_times() for process in processes]
    return float(sum(one.user + one.system + one.children_user + one.children_system for one in times))


async def submit_films(queue: JobQueue, spool: Spool, films: int) -> list[Job]:
    """Queue so many films for measuring, and some to warm up and to run on."""
    drawn = Films([template_of(screen_png(1))])
    return [await submit_film(queue, spool, drawn.film(number)[1]) for number in range(films + 2 * _WARM_UP_FILMS)]


async def require_scores(queue: JobQueue, jobs: Sequence[Job]) -> None:
    """Raise unless every film that is done was scored: one that is refused costs less."""
    done = [record for record in await queue.records([job.id for job in jobs]) if record.outcome is not None]
    unread = [record.reason for record in done if record.probability is None]
    assert done, "no film is done"
    assert not unread, f"{len(unread)} of {len(done)} films were not scored: {set(unread)}"


async def measure(directory: Path, films: int) -> tuple[Moment, Moment]:
    """Work off so many films after a warm-up; return the moments before and after."""
    redis = RedisServer(next(iter(redis_binaries().values())), directory)
    redis.start()
    threads, spool = directory / "threads.json", directory / "spool"
    worker = WorkerProcess(
        directory,
        module="benchmarks.metered_worker",
        CXR_REDIS_URL=redis.url,
        CXR_SPOOL_DIRECTORY=spool,
        CXR_WORKER_BUNDLE=write_tiny_bundle(directory / "tiny", size=_TENSOR_SIDE),
        CXR_SPOOL_MINIMUM_FREE_RATIO=0.0,
        CXR_WORKER_METRICS_PORT=0,
        **{THREADS_VARIABLE: threads},
    )
    try:
        async with connect_worker(redis.settings) as client:
            queue = JobQueue(client, limits=ROOMY)
            jobs = await submit_films(queue, Spool(spool, quota_bytes=_SPOOL_BYTES, minimum_free_ratio=0.0), films)
            worker.start()
            rig = Rig(queue=queue, redis=redis, worker=worker, threads=threads, submitted=len(jobs))
            moments = await rig.moment(films=_WARM_UP_FILMS), await rig.moment(films=_WARM_UP_FILMS + films)
            await require_scores(queue, jobs)
            return moments
    finally:
        worker.kill()
        redis.kill()


def main() -> None:
    """Measure, and write the part."""
    options, started = part_options(__doc__), machine_facts()
    with tempfile.TemporaryDirectory() as directory:
        measuring = measure(Path(directory), _FILMS_QUICK if options.is_quick else _FILMS)
        first, last = asyncio.run(measuring)
    spent = between(first, last)
    own = sum(spent.get(stage, 0.0) for stage in ("event loop", "opening payloads", "writing pictures", "other"))
    rows = [
        Row.at_most("event loop of a worker, a PNG film", goal=_GOAL_MS, measured=spent["event loop"], unit="ms"),
        Row.told("worker beside decoding and inference, a PNG film", measured=own, unit="ms"),
        *(Row.told(f"of a PNG film: {stage}", measured=cost, unit="ms") for stage, cost in sorted(spent.items())),
    ]
    films, seconds = last.films - first.films, last.wall - first.wall
    data = {"films": films, "films_per_second": films / seconds, "ms_a_film": spent}
    data |= {"rss_bytes": [first.rss_bytes, last.rss_bytes]}
    write_part("worker", rows, data, started=started, options=options)


if __name__ == "__main__":
    run_part(main)
