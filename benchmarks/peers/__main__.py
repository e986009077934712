"""Runs table (c) and writes ``runs/bench/peers.json``: who was measured, in which setup, and who could not be.

``python -m benchmarks.peers [--quick]``. Quick: those who are up in a second or two, eight films at once, one round in
which each setup's trial is its measurement.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.environments import EnvironmentUnavailable, environment, own_environment, versions_in
from benchmarks.family import run_part
from benchmarks.machine import first_cores, machine_facts, pinned
from benchmarks.peers.ceiling import Ceiling, measure_ceiling
from benchmarks.peers.cells import Cell, Effort, measure
from benchmarks.peers.choosing import chosen_trial
from benchmarks.peers.contenders import PEERS_CONSTRAINTS, Contender, Setup, contenders, faster_precisions
from benchmarks.peers.delivering import drawn_templates
from benchmarks.peers.running import ContenderFailed, Place
from benchmarks.peers.table import GOAL_CONCURRENCY, LEFT_OUT_OF_QUICK, Table, goal_rows
from benchmarks.resnet50 import resnet50_bundle
from benchmarks.results import PartOptions, part_options, write_part

_CORES: Final = 2
_CONCURRENCIES: Final = (1, GOAL_CONCURRENCY, 32)
# What each round measures: that which the goals are about in all of them.
_ROUNDS: Final = (_CONCURRENCIES, (GOAL_CONCURRENCY,))
_TRYING: Final = Effort(warm_up_seconds=2.0, cell_seconds=4.0)
_MEASURING: Final = Effort(warm_up_seconds=2.0, cell_seconds=6.0)
_QUICK: Final = Effort(warm_up_seconds=1.0, cell_seconds=4.0)
_CEILING_ROUNDS: Final = 8
_QUICK_CEILING_ROUNDS: Final = 4
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
    trial: Cell


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
        rounds = _QUICK_CEILING_ROUNDS if self._options.is_quick else _CEILING_ROUNDS
        return measure_ceiling(self._bundles["fp32"] / "model.onnx", payload, rounds=rounds)

    def prepare(self, everyone: Sequence[Contender]) -> list[Entrant]:
        """Return those who can be measured here; the others are in ``outcome.unavailable``."""
        entrants = []
        for contender in everyone:
            try:
                entrants.append(self._in_best_setup(contender, self._python(contender)))
            except (EnvironmentUnavailable, ContenderFailed) as error:
                self._give_up(contender, str(error))
        return entrants

    def measure(self, entrants: Sequence[Entrant]) -> None:
        """Measure every cell, contender by contender, in rounds: what else the machine does then hits all alike."""
        if self._options.is_quick:
            self.outcome.cells.extend(entrant.trial for entrant in entrants)
            return
        for concurrencies in _ROUNDS:
            for one in entrants:
                try:
                    cells = self._cells(one.contender, one.python, one.setup, concurrencies, _MEASURING)
                except ContenderFailed as error:
                    self._give_up(one.contender, str(error))
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

    def _in_best_setup(self, contender: Contender, python: Path) -> Entrant:
        """Try every setup and choose one; one that fails loses to one that does not."""
        trials: dict[Cell, Setup] = {}
        failures = []
        for setup in contender.setups:
            try:
                effort = _QUICK if self._options.is_quick else _TRYING
                (cell,) = self._cells(contender, python, setup, (GOAL_CONCURRENCY,), effort)
            except ContenderFailed as error:
                failures.append(error)
            else:
                trials[cell] = setup
        self.outcome.tried.extend(trials)
        if not trials:
            raise failures[0]
        best = chosen_trial(list(trials), default=contender.setups[0].name)
        return Entrant(contender=contender, python=python, setup=trials[best], trial=best)

    def _cells(
        self, contender: Contender, python: Path, setup: Setup, concurrencies: Sequence[int], effort: Effort
    ) -> list[Cell]:
        console.print(f"{contender.name}: {setup.name}", style="dim")
        # On the disk of the results, because this service's spool and Redis write through to it.
        directory = Path(tempfile.mkdtemp(prefix="peer-", dir=self._options.directory))
        try:
            place = Place(python=python, bundle=self._bundles[contender.precision], directory=directory)
            return measure(contender, setup, place, self._templates, concurrencies=concurrencies, effort=effort)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _give_up(self, contender: Contender, why: str) -> None:
        console.print(f"{contender.name} is left out: {why}", style="red", markup=False)
        # The rest is its log, which names places of this machine and belongs on no page.
        self.outcome.unavailable[contender.name] = why.partition("\n")[0].rstrip(":")


def why_left_out(contender: Contender, options: PartOptions, flags: Sequence[str]) -> str | None:
    """Return why a contender does not take part here, ``None`` where it does."""
    if options.is_quick and (not contender.in_quick_runs or contender.precision != "fp32"):
        return LEFT_OUT_OF_QUICK
    if contender.precision == "bf16" and not _BF16_FLAGS & set(flags):
        return "this processor does not compute in bf16"
    return None


def main() -> None:
    """Run the comparison and write the part."""
    options = part_options(__doc__)
    started = machine_facts()
    cores = first_cores(_CORES)
    everyone = contenders(len(cores)) + faster_precisions(len(cores))
    reasons = {one.name: why_left_out(one, options, started.flags) for one in everyone}
    with pinned(cores):
        run = Run(options)
        run.outcome.unavailable |= {name: why for name, why in reasons.items() if why is not None}
        ceilings = [run.ceiling()]
        run.measure(run.prepare([one for one in everyone if reasons[one.name] is None]))
        ceilings.append(run.ceiling())
    outcome, table = run.outcome, Table(everyone, run.outcome.cells, run.outcome.tried)
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
    rows = [*goal_rows(table, everyone, ceiling, outcome.unavailable), *table.told(outcome.unavailable)]
    write_part("peers", rows, data, started=started, options=options, packages=outcome.versions)


if __name__ == "__main__":
    run_part(main)
