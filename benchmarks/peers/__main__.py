"""Runs table (c) and writes ``runs/bench/peers.json``: who was measured, in which setup, and who could not be.

``python -m benchmarks.peers [--quick]``. Quick: one setup each, eight films at once, one round.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.environments import EnvironmentUnavailable, environment, own_environment, versions_in
from benchmarks.machine import first_cores, machine_facts, pinned
from benchmarks.peers.ceiling import Ceiling, measure_ceiling
from benchmarks.peers.cells import Cell, Effort, measure
from benchmarks.peers.contenders import PEERS_CONSTRAINTS, Contender, Setup, contenders, faster_precisions
from benchmarks.peers.delivering import drawn_templates
from benchmarks.peers.running import ContenderFailed, Place
from benchmarks.peers.table import GOAL_CONCURRENCY, Table, goal_rows
from benchmarks.resnet50 import resnet50_bundle
from benchmarks.results import PartOptions, part_options, write_part

_CORES: Final = 2
_CONCURRENCIES: Final = (1, GOAL_CONCURRENCY, 32)
_ROUNDS: Final = 2
_TRYING: Final = Effort(warm_up_seconds=2.0, cell_seconds=3.0)
_MEASURING: Final = Effort(warm_up_seconds=2.0, cell_seconds=6.0)
_QUICK: Final = Effort(warm_up_seconds=1.0, cell_seconds=4.0)
_CEILING_SECONDS: Final = 3.0
_BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})

console = Console(stderr=True, highlight=False)


@dataclass
class Outcome:
    """What a run has gathered so far. ``unavailable`` says why a contender has no figures."""

    cells: list[Cell] = field(default_factory=list)
    tried: list[Cell] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A contender that can be measured here, in the setup that suits this machine best."""

    contender: Contender
    python: Path
    setup: Setup


class Run:
    """One comparison on this process's cores. ``outcome`` grows while it runs."""

    def __init__(self, options: PartOptions) -> None:
        self._options = options
        self._templates = drawn_templates()
        self._bundles = {"fp32": resnet50_bundle(options.directory)}
        if not options.is_quick:
            self._bundles |= {
                "bf16": self._bundles["fp32"],
                "int8": resnet50_bundle(options.directory, precision="int8"),
            }
        self.outcome = Outcome()

    def ceiling(self) -> Ceiling:
        """Measure what the cores could do at most."""
        payload = self._templates[0].stamped("1")
        return measure_ceiling(self._bundles["fp32"] / "model.onnx", payload, seconds=_CEILING_SECONDS)

    def prepare(self, everyone: Sequence[Contender]) -> list[Entrant]:
        """Return those who can be measured here; the others are in ``outcome.unavailable``."""
        entrants = []
        for contender in everyone:
            try:
                python = self._python(contender)
                setup = self._best_setup(contender, python)
            except (EnvironmentUnavailable, ContenderFailed) as error:
                self._give_up(contender, str(error))
            else:
                entrants.append(Entrant(contender=contender, python=python, setup=setup))
        return entrants

    def measure(self, entrants: Sequence[Entrant]) -> None:
        """Measure every cell, contender by contender, in rounds: what else the machine does then hits all alike."""
        effort = _QUICK if self._options.is_quick else _MEASURING
        concurrencies = (GOAL_CONCURRENCY,) if self._options.is_quick else _CONCURRENCIES
        for _ in range(1 if self._options.is_quick else _ROUNDS):
            for entrant in entrants:
                try:
                    cells = self._cells(entrant, concurrencies, effort)
                except ContenderFailed as error:
                    self._give_up(entrant.contender, str(error))
                else:
                    self.outcome.cells.extend(cells)

    def _python(self, contender: Contender) -> Path:
        home, directory = contender.home, self._options.directory
        if home is None:
            return (
                Path(sys.executable)
                if contender.extra is None
                else own_environment(contender.extra, directory=directory)
            )
        python = environment(home.name, home.requirements, PEERS_CONSTRAINTS, directory=directory)
        self.outcome.versions |= versions_in(python, [part.partition("[")[0] for part in home.requirements])
        return python

    def _best_setup(self, contender: Contender, python: Path) -> Setup:
        if self._options.is_quick:
            return contender.setups[0]
        rates = {}
        for setup in contender.setups:
            tried = Entrant(contender=contender, python=python, setup=setup)
            (cell,) = self._cells(tried, (GOAL_CONCURRENCY,), _TRYING)
            self.outcome.tried.append(cell)
            rates[setup.name] = cell.per_second
        return max(contender.setups, key=lambda setup: rates[setup.name])

    def _cells(self, entrant: Entrant, concurrencies: Sequence[int], effort: Effort) -> list[Cell]:
        contender, setup = entrant.contender, entrant.setup
        console.print(f"{contender.name}: {setup.name}", style="dim")
        # On the disk of the results, because this service's spool and Redis write through to it.
        directory = Path(tempfile.mkdtemp(prefix="peer-", dir=self._options.directory))
        try:
            place = Place(python=entrant.python, bundle=self._bundles[contender.precision], directory=directory)
            return measure(contender, setup, place, self._templates, concurrencies=concurrencies, effort=effort)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _give_up(self, contender: Contender, why: str) -> None:
        console.print(f"{contender.name} is left out: {why}", style="red", markup=False)
        self.outcome.unavailable[contender.name] = why


def why_left_out(contender: Contender, options: PartOptions, flags: Sequence[str]) -> str | None:
    """Return why a contender does not take part here, ``None`` where it does."""
    if contender.precision != "fp32" and options.is_quick:
        return "left out of quick runs"
    if contender.precision == "bf16" and not _BF16_FLAGS & set(flags):
        return "this processor does not compute in bf16"
    return None


def _end_in_order(*_: object) -> None:
    """Leave by an exception, so that the contender that runs is stopped on the way out."""
    sys.exit("ended by SIGTERM")


def main() -> None:
    """Run the comparison and write the part."""
    signal.signal(signal.SIGTERM, _end_in_order)
    options = part_options(__doc__)
    started = machine_facts()
    everyone = contenders(_CORES) + faster_precisions(_CORES)
    reasons = {one.name: why_left_out(one, options, started.flags) for one in everyone}
    with pinned(first_cores(_CORES)):
        run = Run(options)
        run.outcome.unavailable |= {name: why for name, why in reasons.items() if why is not None}
        ceilings = [run.ceiling()]
        run.measure(run.prepare([one for one in everyone if reasons[one.name] is None]))
        ceilings.append(run.ceiling())
    outcome, table = run.outcome, Table(everyone, run.outcome.cells)
    # The higher one: where the machine was busy meanwhile, that is nothing in our favour.
    ceiling = max(ceilings, key=lambda one: one.per_second)
    data = {
        "table": table.document(),
        "ceiling_per_second": ceiling.per_second,
        "ceilings": [asdict(one) | {"per_second": one.per_second} for one in ceilings],
        "cells": [cell.document() for cell in outcome.cells],
        "tried": [cell.document() for cell in outcome.tried],
        "unavailable": outcome.unavailable,
    }
    rows = [*goal_rows(table, everyone, ceiling, outcome.unavailable), *table.told()]
    write_part("peers", rows, data, started=started, options=options, packages=outcome.versions)


if __name__ == "__main__":
    main()
