"""Part (d): what gateway, queue and spool cost a film, in processor time of every process but the worker's.

The load generator is not counted either; what the stack spends while it has nothing to do is measured first and taken
off. The network is tiny, so that films come as fast as the gateway takes them. Beside them stands what the machine asks
for the same bytes without us (``floor``), measured in the same run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.family import run_part
from benchmarks.floor import Floor, measure_floor
from benchmarks.loads import closed_load, raw_crs, screen_pngs
from benchmarks.machine import machine_facts
from benchmarks.results import PartOptions, Row, part_options, write_part
from benchmarks.service import Meter, Role, Service, running_service
from services.bench.films import Template
from services.bench.target import Follow
from tests.support.bundles import write_tiny_bundle

_COUNTED: Final = (Role.GATEWAY, Role.REDIS, Role.SUPERVISOR)
_CONCURRENCY: Final = 8
# How films are named, in rows and in the plot.
_PNG, _CR = "PNG of 500 kB", "DICOM of 15 MB"
_SERIAL: Final = "1" * 17
_IDLE_SECONDS: Final = 10.0
_QUICK_IDLE_SECONDS: Final = 4.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """Films of one size, so many of them: enough that clock ticks of 10 ms do not matter."""

    row: str
    templates: Sequence[Template]
    follow: Follow
    films: int
    quick_films: int
    goal_ms: float | None


def _cases() -> list[Case]:
    png, cr = _PNG, _CR
    waits, polls = ", one request that waits", ", accepted and then polled"
    return [
        Case(row=png + waits, templates=screen_pngs(), follow=Follow.WAIT, films=2000, quick_films=400, goal_ms=1.5),
        Case(row=png + polls, templates=screen_pngs(), follow=Follow.POLL, films=1000, quick_films=300, goal_ms=None),
        Case(row=cr + waits, templates=raw_crs(), follow=Follow.WAIT, films=200, quick_films=60, goal_ms=12.0),
    ]


def measure_case(service: Service, case: Case, *, films: int, idle: dict[Role, float]) -> dict[str, Any]:
    """Return milliseconds a film by role, and what the load saw; ``idle`` is what roles spend a second for nothing."""
    closed_load(service.url, case.templates, concurrency=_CONCURRENCY, films=films // 5, follow=case.follow)
    service.wait_idle()
    meter = Meter(service)
    seen = closed_load(service.url, case.templates, concurrency=_CONCURRENCY, films=films, follow=case.follow)
    service.wait_idle()
    cost = meter.read()
    spent = {
        role: 1000 * (seconds - idle.get(role, 0.0) * cost.wall_seconds) / films
        for role, seconds in cost.cpu_seconds.items()
    }
    counted = sum(spent.get(role, 0.0) for role in _COUNTED)
    return {"film": case.row, "films": films, "counted_ms": counted, "by_role_ms": spent, "load": seen.document()}


def idle_cost(service: Service, *, seconds: float) -> dict[Role, float]:
    """Return the processor seconds that each role spends in a second without films."""
    service.wait_idle()
    meter = Meter(service)
    time.sleep(seconds)
    cost = meter.read()
    return {role: spent / cost.wall_seconds for role, spent in cost.cpu_seconds.items()}


def measured(options: PartOptions) -> tuple[list[Row], dict[str, Any]]:
    """Return rows and data."""
    rows, table = [], []
    # Below the results, not in a temporary file system: what the spool is written to is part of the cost.
    with tempfile.TemporaryDirectory(prefix="cost-", dir=options.directory) as folder:
        place = Path(folder)
        with running_service(place, bundle=write_tiny_bundle(place / "bundle")) as service:
            idle = idle_cost(service, seconds=_QUICK_IDLE_SECONDS if options.is_quick else _IDLE_SECONDS)
            for case in _cases():
                found = measure_case(
                    service, case, films=case.quick_films if options.is_quick else case.films, idle=idle
                )
                table.append(found)
                rows.append(_row(case, found))
    floors = {name: measure_floor(one.stamped(_SERIAL), options.directory) for name, one in _bytes_of_floors().items()}
    rows += [_floor_row(name, floor) for name, floor in floors.items()]
    floor_ms = {name: asdict(floor) | {"total_ms": floor.total_ms} for name, floor in floors.items()}
    return rows, {"table": table, "idle_cpu_share": idle, "floor": floor_ms}


def _bytes_of_floors() -> dict[str, Template]:
    return {_PNG: screen_pngs()[0], _CR: raw_crs()[0]}


def _floor_row(film: str, floor: Floor) -> Row:
    note = f"receive over loopback {floor.receive_ms:.2f}, sha256 {floor.sha256_ms:.2f}, "
    note += f"write to a new file and fsync {floor.write_ms:.2f}; each alone, in one thread"
    return Row.told(f"of it this machine's own, {film}", measured=floor.total_ms, unit="ms CPU", note=note)


def _row(case: Case, found: dict[str, Any]) -> Row:
    by_role = ", ".join(f"{role} {found['by_role_ms'].get(role, 0.0):.2f}" for role in _COUNTED[:2])
    note = f"{by_role}; {found['films']} films, {found['load']['per_second']:.0f} a second"
    name = f"gateway + queue + spool, {case.row}"
    if case.goal_ms is None:
        return Row.told(name, measured=found["counted_ms"], unit="ms CPU", note=note)
    return Row.at_most(name, goal=case.goal_ms, measured=found["counted_ms"], unit="ms CPU", note=note)


def main() -> None:
    """Measure, print, write cost.json."""
    options, started = part_options(__doc__), machine_facts()
    rows, data = measured(options)
    write_part("cost", rows, data, started=started, options=options)


if __name__ == "__main__":
    run_part(main)
