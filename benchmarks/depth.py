"""Part (e), second half: does a film cost more when ten thousand wait before it, and does memory grow?

Gateway, Redis and worker are processes of their own here, so that films can wait without a worker. The films are as
small as films can be: whatever the queue costs shows in full. Steady state: a film is sent when one has ended.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import uvloop

from benchmarks.family import run_part
from benchmarks.loads import ROOMY, LoadFailed, small_pngs
from benchmarks.machine import machine_facts
from benchmarks.results import PartOptions, Row, part_options, write_part
from benchmarks.service import Role, cpu_seconds, processes_by_role, rss_bytes
from benchmarks.worker import require_scores
from services.bench.connections import ConnectionPool
from services.bench.films import Films
from services.bench.load import Ending, run_closed
from services.bench.target import Follow, TargetOptions, TriageTarget
from services.jobs import keys
from services.jobs.connection import connect_worker
from services.jobs.ending import end
from services.jobs.queue import JobQueue
from services.jobs.records import Job
from services.jobs.spool import Spool
from tests.support.bundles import write_tiny_bundle
from tests.support.parts import Parts
from tests.support.redis_server import RedisServer, redis_binaries
from tests.support.submission import submit_film

# A thousand between them, because with ten waiting the worker now and then has nothing to do, and its smaller batches
# cost more than large ones: the goal's ratio alone would hide what depth costs behind that.
_DEPTHS: Final = (10, 1_000, 10_000)
_QUICK_DEPTHS: Final = (10, 10_000)
_GOAL: Final = 1.05
_SENDERS: Final = 10
_UNBOUNDED: Final = 100_000
_MOST_UPLOADS: Final = 1024
# Longer than a minute: the comparison of queue and spool, which comes once a minute, is part of what a film costs.
_SECONDS: Final = 65.0
_QUICK_SECONDS: Final = 8.0
_WARM_UP_SECONDS: Final = 5.0
_QUICK_WARM_UP_SECONDS: Final = 3.0
_LOOKED_AT: Final = 100
_SPOOL_BYTES: Final = 64 * 1024**3
_LOOK_SECONDS: Final = 0.02
_SAMPLE_SECONDS: Final = 1.0
_MIBIBYTE: Final = 2**20


@dataclass(frozen=True, kw_only=True)
class AtDepth:
    """What films cost with so many waiting, in processor milliseconds; ``memory`` is what processes held."""

    depth: int
    films: int
    per_second: float
    ms_per_film: float
    by_role_ms: dict[str, float]
    memory: dict[str, list[tuple[float, float]]]


class Installation:
    """Redis, gateway and, while somebody is measuring, a worker; and the films that are sent to them."""

    def __init__(self, parts: Parts, url: str, pids: tuple[int, ...]) -> None:
        self.parts = parts
        self._pids = pids
        self._redis = parts.server.client()
        self._pool = ConnectionPool(url)
        self._target = TriageTarget(self._pool, Films(small_pngs()), TargetOptions(follow=Follow.NONE))
        self._sent = 0
        self._stocked: list[Job] = []

    async def close(self) -> None:
        await self._pool.close()
        self._redis.close()

    async def send(self, count: int) -> None:
        """Have so many films accepted, some at a time; nobody waits for their outcome."""
        first, self._sent = self._sent, self._sent + count

        async def deliver(number: int) -> Ending:
            return await self._target.deliver(first + number)

        run = await run_closed(deliver, concurrency=min(_SENDERS, count), films=count)
        refused = {sample.kind for sample in run.samples if not sample.is_good}
        if refused:
            raise LoadFailed(f"of {count} films some were not accepted: {refused}")

    async def stock(self, count: int) -> None:
        """Have so many films waiting, put there as the gateway does it and faster: nothing is measured meanwhile."""
        spool = Spool(self.parts.directory / "spool", quota_bytes=_SPOOL_BYTES, minimum_free_ratio=0.0)
        stocked = Films(small_pngs())
        async with connect_worker(self.parts.server.settings) as client:
            queue = JobQueue(client, limits=ROOMY)
            for number in range(count):
                self._stocked.append(await submit_film(queue, spool, stocked.film(number)[1]))

    async def require_scores(self) -> None:
        """Raise unless those of the stock that are done were scored: one that is refused costs less."""
        async with connect_worker(self.parts.server.settings) as client:
            await require_scores(JobQueue(client), self._stocked[:_LOOKED_AT])

    async def keep(self, depth: int, *, seconds: float) -> int:
        """Keep ``depth`` films without an outcome for ``seconds``; return how many got theirs meanwhile."""
        sent, waiting, ends = self._sent, self.waiting(), time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            missing = depth - self.waiting()
            if missing > 0:
                await self.send(min(missing, _SENDERS))
            else:
                await asyncio.sleep(min(_LOOK_SECONDS, left))
        return self._sent - sent + waiting - self.waiting()

    def waiting(self) -> int:
        """Return how many films have no outcome."""
        return int(self._redis.zcard(keys.OPEN))

    def processes(self, worker_pid: int) -> dict[Role, list[psutil.Process]]:
        """Return gateway, Redis, this worker and its children by what they are there for."""
        found = [psutil.Process(pid) for pid in (*self._pids, worker_pid)]
        return processes_by_role([each for one in found for each in (one, *one.children(recursive=True))])


@contextmanager
def installation(directory: Path) -> Iterator[Installation]:
    """Run Redis and gateway for the block."""
    with ExitStack() as stack:
        # A unix socket's path may have 107 bytes, and the results may lie anywhere.
        socket = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cxr-depth-")))
        server = RedisServer(next(iter(redis_binaries().values())), socket)
        server.start()
        stack.callback(server.stop)
        parts = Parts(directory=directory, server=server, bundle=write_tiny_bundle(directory / "bundle"))
        gateway = stack.enter_context(parts.gateway(api_routine_depth=_UNBOUNDED, api_max_uploads=_MOST_UPLOADS))
        yield Installation(parts, gateway.url, (gateway.process.pid, server.pid))


def at_depth(depth: int, options: PartOptions) -> AtDepth:
    """Measure at one depth, in an installation of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="depth-", dir=options.directory) as folder,
        installation(Path(folder)) as ours,
    ):
        if options.is_quick:
            return uvloop.run(_measure(ours, depth, warm_up=_QUICK_WARM_UP_SECONDS, seconds=_QUICK_SECONDS))
        return uvloop.run(_measure(ours, depth, warm_up=_WARM_UP_SECONDS, seconds=_SECONDS))


async def _measure(ours: Installation, depth: int, *, warm_up: float, seconds: float) -> AtDepth:
    memory = Memory()
    try:
        await ours.stock(depth)
        with ours.parts.worker() as worker:
            await ours.keep(depth, seconds=warm_up)
            before, began = cpu_seconds(ours.processes(worker.process.pid)), time.perf_counter()
            watching = asyncio.create_task(memory.watch(ours, worker.process.pid))
            films = await ours.keep(depth, seconds=seconds)
            after, lasted = cpu_seconds(ours.processes(worker.process.pid)), time.perf_counter() - began
            await end([watching])
        await ours.require_scores()
    finally:
        await ours.close()
    by_role = {str(role): 1000 * (spent - before.get(role, 0.0)) / films for role, spent in after.items()}
    return AtDepth(
        depth=depth,
        films=films,
        per_second=films / lasted,
        ms_per_film=sum(by_role.values()),
        by_role_ms=by_role,
        memory=dict(memory.samples),
    )


class Memory:
    """What processes hold, looked at now and then: ``samples`` are ``(seconds, MiB)`` by role."""

    def __init__(self) -> None:
        self.samples: dict[str, list[tuple[float, float]]] = defaultdict(list)

    async def watch(self, ours: Installation, worker_pid: int) -> None:
        """Look until cancelled."""
        began = time.monotonic()
        while True:
            at = time.monotonic() - began
            for role, processes in ours.processes(worker_pid).items():
                held = sum(map(rss_bytes, processes))
                self.samples[role].append((round(at, 1), round(held / _MIBIBYTE, 1)))
            await asyncio.sleep(_SAMPLE_SECONDS)


def growth(samples: list[tuple[float, float]]) -> float:
    """Return MiB a minute, without the first third, in which caches fill."""
    later = np.array(samples[len(samples) // 3 :])
    return float(np.polyfit(later[:, 0] / 60, later[:, 1], 1)[0])


def rows_of(found: list[AtDepth], options: PartOptions) -> list[Row]:
    """Return the cost at the greater depth against the smaller, and how memory grew."""
    few, *between, many = found
    note = f"{few.ms_per_film:.2f} ms with {few.depth} waiting, {many.ms_per_film:.2f} ms with {many.depth:,}"
    if options.is_quick:
        note += "; too short for the comparison of queue and spool, which comes once a minute"
    ratio = many.ms_per_film / few.ms_per_film
    name = f"cost of a film with {many.depth:,} waiting against {few.depth}"
    rows = [Row.at_most(name, goal=_GOAL, measured=ratio, unit="x", note=note)]
    for some in between:
        name = f"cost of a film with {many.depth:,} waiting against {some.depth:,}"
        rows.append(Row.told(name, measured=many.ms_per_film / some.ms_per_film, unit="x"))
    return rows + [_memory_row(role, few.memory, options) for role in (Role.GATEWAY, Role.WORKER)]


def _memory_row(role: Role, memory: Mapping[str, list[tuple[float, float]]], options: PartOptions) -> Row:
    name, unit = f"memory of the {role}, growth", "MiB/min"
    if options.is_quick:
        return Row.unmeasured(name, goal=None, unit=unit, note="too short: it would be warming up")
    note = f"{memory[role][-1][1]:.0f} MiB at the end; row R18 of `make bar-release` bounds it over an hour"
    return Row.told(name, measured=growth(memory[role]), unit=unit, note=note)


def main() -> None:
    """Measure, print, write depth.json."""
    options, started = part_options(__doc__), machine_facts()
    found = [at_depth(depth, options) for depth in (_QUICK_DEPTHS if options.is_quick else _DEPTHS)]
    data = {"table": [asdict(each) for each in found]}
    write_part("depth", rows_of(found, options), data, started=started, options=options)


if __name__ == "__main__":
    run_part(main)
