"""Whether the intervals of ``GET /v1/performance`` hold the truth as often as they say, at simulated sites.

``python -m benchmarks.feedback [--runs 1000] [--processes 2]``. At each site the truth of every study is known; readers
see what they would see, and the gateway's own estimator is asked. One small site goes through a real gateway besides,
study by study over HTTP, and has to be told the same. Behind the figures of ``docs/decisions/0032-feedback.md``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.feedback_service import FIGURES, SMALL, agree, through_the_service
from benchmarks.feedback_sites import Scenario, Site
from services.jobs.performance import Estimate, figures_of

WANTED: Final = 0.93


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How a figure fared in all runs: how often it was told, held the truth, and how wide it was on average."""

    told: int
    inside: int
    width: float


def coverage(scenario: Scenario, *, runs: int, seed: int) -> dict[str, Seen]:
    """Return how the four figures fared, by name."""
    truth = scenario.truth()
    told, inside, width = (dict.fromkeys(FIGURES, 0.0) for _ in range(3))
    for run in range(runs):
        site = Site.of(scenario, np.random.default_rng((seed, run)))
        figures = figures_of([site.cell(scenario.blind_share)])
        for name in FIGURES:
            estimate: Estimate = getattr(figures, name)
            if estimate.figure is not None:
                told[name] += 1
                inside[name] += estimate.figure.low <= truth[name] <= estimate.figure.high
                width[name] += estimate.figure.high - estimate.figure.low
    return {
        name: Seen(told=int(told[name]), inside=int(inside[name]), width=width[name] / max(told[name], 1))
        for name in FIGURES
    }


def scenarios() -> Iterator[tuple[str, Scenario]]:
    """Yield the rows of the table."""
    for prevalence, share in product((0.02, 0.10, 0.30), (0.01, 0.02, 0.05)):
        yield f"{prevalence:.0%} ill, {share:.0%} drawn", Scenario(prevalence=prevalence, blind_share=share)
    usual = Scenario(prevalence=0.10, blind_share=0.05)
    yield "one in 200 missed", replace(usual, sensitivity=0.97, specificity=0.6, prevalence=0.10)
    yield "every flagged study read", replace(usual, read_share=1.0, uncertain_share=0.0)
    yield "one flagged study in ten read", replace(usual, read_share=0.1)
    yield "a third in doubt", replace(usual, uncertain_share=0.33)
    yield "2,500 studies", replace(usual, studies=2500, blind_share=0.10)
    yield "nearly nothing missed", replace(usual, sensitivity=0.995)
    yield "half missed", replace(usual, sensitivity=0.5, specificity=0.95)


def simulate(console: Console, runs: int, seed: int, processes: int) -> bool:
    """Print the table; return whether every figure that was told held the truth often enough."""
    names, rows = zip(*scenarios(), strict=True)
    with ProcessPoolExecutor(processes) as pool:
        covered = list(pool.map(partial(coverage, runs=runs, seed=seed), rows))
    table = Table("site", *FIGURES, "mean width of sensitivity", title=f"inside the 95 % interval, {runs} runs each")
    is_well = True
    for name, seen in zip(names, covered, strict=True):
        cells = []
        for figure in FIGURES:
            told, inside = seen[figure].told, seen[figure].inside
            is_well &= told < runs / 10 or inside >= WANTED * told
            note = "" if told == runs else f" of {told}"
            cells.append(f"{100 * inside / told:.1f} %{note}" if told else "n too small")
        table.add_row(name, *cells, f"{seen['sensitivity'].width:.3f}")
    console.print(table)
    scenario = Scenario(prevalence=0.10, blind_share=0.02)
    sites = [Site.of(scenario, np.random.default_rng((seed, run))) for run in range(200)]
    weighed = [figures_of([site.cell(scenario.blind_share)]).sensitivity.figure for site in sites]
    naive = np.mean([site.naive_sensitivity() for site in sites])
    mean = np.mean([figure.value for figure in weighed if figure is not None])
    console.print(
        f"10 % ill, 2 % drawn, true sensitivity {scenario.sensitivity}: weighed {mean:.3f}, counted {naive:.3f}"
    )
    return is_well


def main() -> int:
    """Simulate, print, and return 0 where everything held."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options, console = parser.parse_args(), Console(width=140)
    began = time.monotonic()
    told, figures = through_the_service(options.seed % 1000)
    is_same = agree(told, figures)
    console.print(f"{SMALL.studies} studies through a gateway: {'the same figures' if is_same else 'OTHER figures'}")
    is_well = simulate(console, options.runs, options.seed, options.processes)
    console.print(f"{time.monotonic() - began:.0f} s")
    return 0 if is_same and is_well else 1


if __name__ == "__main__":
    sys.exit(main())
