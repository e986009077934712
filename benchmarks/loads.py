"""Loads that several parts put on a service: which films, asked for how, by the engine of ``cxr-triage bench``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import uvloop

from benchmarks.films import screen_png
from services.bench.figures import Measured
from services.bench.films import FilmKind, Template, drawn_films, template_of
from services.bench.run import BenchOptions, measure
from services.bench.target import Follow, TargetOptions
from services.jobs.limits import QueueLimits
from services.phantoms import phantom_png

# Of a queue that a part fills by itself: room for every film that it wants to have waiting.
ROOMY: Final = QueueLimits(routine_depth=1_000_000, open_bytes=64 * 1024**3)
_DISTINCT: Final = 8
_SMALL_SIDE: Final = 128
# What a film may end as: one that was not assessed cost less than one that was scored.
_SCORED_OR_TAKEN: Final = frozenset({"flagged", "not_flagged", "accepted"})


class LoadFailed(Exception):
    """Films ended without an outcome: a figure of such a run would say nothing."""


@cache
def screen_pngs() -> tuple[Template, ...]:
    """Return PNG films of 1024 x 1024 pixels and about 500 kB."""
    return tuple(template_of(screen_png(seed)) for seed in range(_DISTINCT))


@cache
def raw_crs() -> tuple[Template, ...]:
    """Return uncompressed DICOM films of 15 MB."""
    return tuple(drawn_films(FilmKind.DICOM))


@cache
def small_pngs() -> tuple[Template, ...]:
    """Return PNG films of 128 x 128 pixels, which cost as little as a film can."""
    return tuple(template_of(phantom_png(seed, rows=_SMALL_SIDE, columns=_SMALL_SIDE)) for seed in range(_DISTINCT))


def closed_load(
    url: str,
    templates: Sequence[Template],
    *,
    concurrency: int,
    seconds: float | None = None,
    films: int | None = None,
    warm_up_seconds: float = 0.0,
    follow: Follow = Follow.WAIT,
) -> Measured:
    """Keep ``concurrency`` films on their way, and return what was measured.

    Raises
    ------
    LoadFailed
        If a film was not scored (or taken, where nobody follows it).
    """
    options = BenchOptions(
        url=url,
        concurrency=concurrency,
        seconds=seconds,
        films=films,
        warm_up_seconds=warm_up_seconds,
        target=TargetOptions(follow=follow),
    )
    measured = uvloop.run(measure(options, templates))
    if not measured.sent or not _SCORED_OR_TAKEN.issuperset(measured.ended):
        raise LoadFailed(f"of {measured.sent} films some were not scored: {measured.ended}")
    return measured
