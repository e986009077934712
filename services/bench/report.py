"""What ``cxr-triage bench`` shows and saves: progress while films are on their way, a table, a JSON document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.bench.figures import Latency, Measured
from services.bench.load import OnSample, Sample
from services.bench.machine import MachineFacts, machine_facts, package_versions

_WIDTH_OF_A_FILE: Final = 100  # a table that is piped has no terminal to take its width from
_SCHEMA_VERSION: Final = 1


@contextmanager
def shown_progress(*, seconds: float | None, films: int | None) -> Iterator[OnSample]:
    """Show on a terminal how far a run is and what became of its films; yield what is told of each film."""
    console = Console(stderr=True, highlight=False)
    columns = (SpinnerColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[ends]}"))
    ends: Counter[str] = Counter()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar: TaskID = progress.add_task("films", total=seconds if films is None else films, ends="")

        def on_sample(sample: Sample) -> None:
            ends[sample.kind] += 1
            told = " · ".join(f"{count} {kind}" for kind, count in ends.most_common())
            progress.update(bar, completed=sample.ended if films is None else ends.total(), ends=told)

        yield on_sample


def document(measured: Measured, *, load: Mapping[str, object], started: MachineFacts) -> dict[str, object]:
    """Return everything that makes a run's figures readable later; ``load`` is what was put on the service."""
    return {
        "schema_version": _SCHEMA_VERSION,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": asdict(started) | {"load_after": machine_facts().load},
        "versions": package_versions(),
        "load": dict(load),
        "measured": measured.document(),
    }


def save(path: Path, saved: Mapping[str, object]) -> None:
    """Write the document whole, or not at all."""
    staging = path.with_name(f".{path.name}.partial")
    staging.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
    staging.replace(path)


def show(measured: Measured) -> None:
    """Print the figures to stdout, what became of the films to stderr."""
    width = None if Console().is_terminal else _WIDTH_OF_A_FILE
    table = Table("milliseconds", "films", "p50", "p90", "p99", "max", box=None, pad_edge=False)
    for name, latency in (("accept", measured.accept), ("outcome", measured.outcome), ("sent late", measured.lag)):
        if latency is not None:
            table.add_row(name, str(latency.count), *_shown(latency))
    console = Console(width=width, highlight=False)
    console.print(table)
    console.print(f"{measured.per_second:.2f} films a second over {measured.seconds:.1f} s")
    ends = ", ".join(f"{count} {kind}" for kind, count in measured.ended.items()) or "none"
    Console(stderr=True, highlight=False).print(f"{measured.sent} films: {ends}", soft_wrap=True)


def _shown(latency: Latency) -> list[str]:
    return [f"{value:.1f}" for value in (latency.p50, latency.p90, latency.p99, latency.max)]
