"""Part (e), first half: does a second worker on a second core do as much as the first?

Every worker has one inference thread and one decoding child and is confined to a core of its own: left alone, a single
worker would decode on the second core, and the ratio would say nothing. Gateway, Redis and load generator go where
there is room; on a machine of two cores they take it from the workers, and that is part of the figure.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from benchmarks.family import run_part
from benchmarks.loads import closed_load, screen_pngs
from benchmarks.machine import machine_facts
from benchmarks.resnet50 import resnet50_bundle
from benchmarks.results import PartOptions, Row, part_options, write_part
from benchmarks.service import Role, Service, running_service

_GOALS: Final = {2: 1.7, 4: 3.4}
_IN_FLIGHT_PER_WORKER: Final = 8
_SECONDS: Final = 15.0
_QUICK_SECONDS: Final = 8.0
_WARM_UP_SECONDS: Final = 2.0
_ROUNDS: Final = 3


def confine(service: Service) -> None:
    """Give each worker, all its threads and whatever it has started a core of its own."""
    cores = sorted(os.sched_getaffinity(0))
    workers = service.processes()[Role.WORKER]
    for core, worker in zip(cores, workers, strict=False):
        for process in (worker, *worker.children(recursive=True)):
            _bind(process, core)


def _bind(process: psutil.Process, core: int) -> None:
    # A thread's own matter: binding the process binds its first thread alone.
    for thread in process.threads():
        os.sched_setaffinity(thread.id, {core})


def rate_of(workers: int, bundle: Path, options: PartOptions) -> float:
    """Return the films a second of so many workers."""
    with tempfile.TemporaryDirectory(prefix="scaling-", dir=options.directory) as folder:
        place = Path(folder)
        with running_service(place, bundle=bundle, workers=workers, worker_cores=1) as service:
            confine(service)
            seconds = _QUICK_SECONDS if options.is_quick else _SECONDS
            seen = closed_load(
                service.url,
                screen_pngs(),
                concurrency=_IN_FLIGHT_PER_WORKER * workers,
                seconds=seconds + _WARM_UP_SECONDS,
                warm_up_seconds=_WARM_UP_SECONDS,
            )
    return seen.per_second


def rates(counts: Iterable[int], options: PartOptions) -> dict[int, list[float]]:
    """Return the rates of each number of workers, taken in turn so that a machine that drifts does so for all."""
    bundle = resnet50_bundle(options.directory)
    found: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(1 if options.is_quick else _ROUNDS):
        for count, taken in found.items():
            taken.append(rate_of(count, bundle, options))
    return found


def rows_of(found: dict[int, list[float]], cores: int) -> list[Row]:
    """Return each number of workers against one."""
    one = median(found[1])
    rows = [Row.told("1 worker on 1 core, PNG, ResNet50 224 fp32", measured=one, unit="films/s")]
    for count, goal in _GOALS.items():
        name = f"{count} one-thread workers on {count} cores against 1"
        if count in found:
            rows.append(Row.at_least(name, goal=goal, measured=median(found[count]) / one, unit="x"))
        else:
            note = f"this machine has {cores} cores"
            rows.append(Row.unmeasured(name, goal=goal, unit="x", note=note))
    return rows


def main() -> None:
    """Measure, print, write scaling.json."""
    options, started = part_options(__doc__), machine_facts()
    counts = [count for count in (1, 2, 3, 4) if count <= started.cores]
    found = rates(counts, options)
    table: list[dict[str, Any]] = [{"workers": count, "per_second": taken} for count, taken in found.items()]
    write_part("scaling", rows_of(found, started.cores), {"table": table}, started=started, options=options)


if __name__ == "__main__":
    run_part(main)
