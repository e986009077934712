"""docs/capacity.md: what a hospital, a region and a country need: ``python -m benchmarks.capacity [--check]``.

Writes the part of the page between its two marks, from the costs that ``make bench`` wrote into docs/performance.md,
and runs at its end; `make check` compares the page (docs/generate.py).
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Final

from benchmarks.needs import (
    AUDIT_BYTES_A_FILM,
    AUDIT_YEARS,
    BUSY,
    GPU_MS,
    MAXMEMORY_MB,
    MEMORY_FULL,
    MIX,
    OUTAGE_HOURS,
    PEAK_HOUR_SHARE,
    PEAK_IN_THE_HOUR,
    PICTURES_MB,
    PLACES,
    RECORDS_DAYS,
    REDIS_BYTES_A_FILM,
    UNREAD_SHARE,
    Costs,
    Needs,
    costs,
    measured,
    needs,
)
from services.jobs.limits import QueueLimits
from services.jobs.reconcile import Retention

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "capacity.md"
_BEGIN: Final = "<!-- Computed by `python -m benchmarks.capacity`. Do not edit. -->"
_END: Final = "<!-- End of what is computed. -->"


def computed() -> str:
    """Return the part of the page that follows from the figures."""
    cost = costs()
    parts = (
        ["### What one film costs", "", *_costs(cost)],
        ["### What a place needs", "", *_needs(cost)],
        _limits(cost),
        ["### In words", "", *_words(cost)],
    )
    return "\n\n".join("\n".join(part) for part in parts)


def _costs(cost: Costs) -> list[str]:
    decoding = " + ".join(f"{share} × {measured(row)[0]:g}" for share, _, row in MIX)
    sizes = " + ".join(f"{share} × {megabytes:g}" for share, megabytes, _ in MIX)
    shipped_rate = measured("shipped bundle, cpu fp32")[0]
    decoded, shipped, large = f"{cost.decoding_ms:.0f}", f"{cost.shipped_ms:.0f}", f"{cost.large_ms:.0f}"
    beside = f"{cost.beside_ms:.0f}"
    rows = (
        ("size", sizes, f"{cost.film_mb:.1f} MB"),
        ("decoding", decoding, f"{decoded} ms of a core"),
        ("network, the bundle that ships", f"2 cores × 1000 / {shipped_rate:g} films/s", f"{shipped} ms"),
        ("network, ResNet50 512 in fp32", "as measured", f"{large} ms"),
        ("worker beside both", "as measured", f"{beside} ms"),
        ("**worker, the bundle that ships**", f"{decoded} + {shipped} + {beside}", f"**{cost.worker_ms:.0f} ms**"),
        ("**worker, ResNet50 512**", f"{decoded} + {large} + {beside}", f"**{cost.large_worker_ms:.0f} ms**"),
        ("a T4, ResNet50 512 in fp32, by its literature", "1000 / 415 × 42.8 / 8.2", f"{GPU_MS:.1f} ms of the GPU"),
        ("gateway, a DICOM of 15 MB", "as measured", f"{cost.gateway_ms:.0f} ms"),
        ("Redis", "as measured", f"{cost.redis_ms:.1f} ms"),
    )
    return ["| of one film | arithmetic | is |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]


def _needs(cost: Costs) -> list[str]:
    heads = " | ".join(f"{place.name}, {place.films_a_day:,} a day" for place in PLACES)
    lines = [f"| | arithmetic | {heads} |", "|---|---|" + "---|" * len(PLACES)]
    columns = [_cells(needs(place, cost)) for place in PLACES]
    rows = zip(_arithmetic(cost), *columns, strict=True)
    return lines + [f"| {name} | {arithmetic} | {' | '.join(cells)} |" for (name, arithmetic), *cells in rows]


def _arithmetic(cost: Costs) -> list[tuple[str, str]]:
    """Return what each row is, and what it follows from; ``_cells`` has the same order."""
    retention = Retention()
    kept = f"{1 - UNREAD_SHARE:g} × {retention.scored_seconds / 86_400:g} d"
    kept += f" + {UNREAD_SHARE:g} × {retention.unread_seconds / 86_400:g} d"
    return [
        ("films a second at the peak", f"day × {PEAK_HOUR_SHARE} / 3600 × {PEAK_IN_THE_HOUR:g}"),
        ("cores of workers, the bundle that ships", f"peak × {cost.worker_ms:.0f} ms / {BUSY}; 2 at least"),
        ("cores of workers, ResNet50 512", f"peak × {cost.large_worker_ms:.0f} ms / {BUSY}; 2 at least"),
        ("share of one T4, ResNet50 512", f"peak × {GPU_MS:.1f} ms"),
        ("cores of gateways", f"peak × {cost.gateway_ms:.0f} ms / {BUSY}"),
        ("Redis, share of one core", f"peak × {cost.redis_ms:.1f} ms"),
        ("network into the spool, and again out of it", f"peak × {cost.film_mb:.1f} MB × 8"),
        (f"films that wait after {OUTAGE_HOURS:g} h without workers", f"day × {PEAK_HOUR_SHARE} × {OUTAGE_HOURS:g}"),
        ("their payloads", f"waiting × {cost.film_mb:.1f} MB"),
        ("minutes to catch up", "waiting / (cores / worker's ms − arrivals)"),
        ("spool", f"day × ({kept}) × ({cost.film_mb:.1f} + {PICTURES_MB:g} MB)"),
        ("Redis, records", f"day × {RECORDS_DAYS} × {REDIS_BYTES_A_FILM / 1000:g} kB"),
        ("`maxmemory`", f"records / {MEMORY_FULL}; 256 at least; the host twice that"),
        (f"audit trail in {AUDIT_YEARS} years", f"day × 365 × {AUDIT_YEARS} × {AUDIT_BYTES_A_FILM / 1000:g} kB"),
    ]


def _cells(one: Needs) -> list[str]:
    return [
        f"{one.peak:.3g}",
        f"{one.worker_cores:.1f}",
        f"{one.large_cores:.1f}",
        f"{one.gpu_share:.2%}",
        f"{one.gateway_cores:.2f}",
        f"{one.redis_share:.2%}",
        f"{one.megabits:.1f} Mbit/s",
        f"{one.waiting:,}",
        f"{one.waiting_gb:.1f} GB",
        f"{one.catching_up_minutes:.0f}",
        f"{one.spool_gb:,.0f} GB",
        f"{one.redis_mb:,.0f} MB",
        f"{one.maxmemory_mb:,} MB",
        f"{one.audit_gb:,.1f} GB",
    ]


def _limits(cost: Costs) -> list[str]:
    """Return which defaults an outage of the workers would run into."""
    limits, lines = QueueLimits(), ["Defaults that are too small for that outage:", ""]
    for place in PLACES:
        one = needs(place, cost)
        if one.waiting > limits.routine_depth:
            depth = 100 * math.ceil(one.waiting / 100)
            lines.append(f"- {place.name}: `CXR_API_ROUTINE_DEPTH` from {limits.routine_depth:,} to {depth:,}")
        if one.waiting_gb > limits.open_bytes / 1e9:
            size = f"from {limits.open_bytes / 1e9:.1f} GB to {math.ceil(one.waiting_gb):,} GB"
            lines.append(f"- {place.name}: `CXR_API_QUEUE_BYTES` {size}")
    return lines


def _words(cost: Costs) -> list[str]:
    """Return what the prose of the page rests on, each with its arithmetic."""
    country = PLACES[-1]
    millions, peak = country.films_a_day * 365 / 1e6, needs(country, cost).peak
    decoding, worker, gateway = f"{cost.decoding_ms:.0f}", f"{cost.worker_ms:.0f}", f"{cost.gateway_ms:.0f}"
    share, _, row = MIX[-1]
    dearest = measured(row)[0]
    room = MAXMEMORY_MB * MEMORY_FULL * 1000 / (RECORDS_DAYS * REDIS_BYTES_A_FILM / 1000)
    anew = f"{millions:.2f} million films of a country's year"
    return [
        f"- A worker of two cores scores, films a second: 2 × 1000 / {worker} = {2000 / cost.worker_ms:.1f};"
        f" a country's peak is {peak:g}.",
        f"- Of decoding, the films in JPEG 2000 cost the share {share} × {dearest:g} / {decoding}"
        f" = {share * dearest / cost.decoding_ms:.2f}.",
        f"- The default `maxmemory` has room for {MAXMEMORY_MB} × {MEMORY_FULL} × 1000"
        f" / ({RECORDS_DAYS} × {REDIS_BYTES_A_FILM / 1000:g}) = {room:.0f} films a day.",
        f"- Hours of a T4 to score anew the {anew}: {millions:.2f} × {GPU_MS:.1f} / 3.6"
        f" = {millions * GPU_MS / 3.6:.0f}.",
        f"- Hours of one core that decodes for it: {millions:.2f} × {decoding} / 3.6"
        f" = {millions * cost.decoding_ms / 3.6:.0f}.",
        f"- Uncompressed films a second that one core of a gateway takes: {BUSY} × 1000 / {gateway}"
        f" = {BUSY * 1000 / cost.gateway_ms:.1f}.",
    ]


def with_computed(page: str) -> str:
    """Return the page with its computed part anew."""
    before, _, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise LookupError("docs/capacity.md lacks the marks between which the computed part stands")
    return f"{before}{_BEGIN}\n\n{computed()}\n\n{_END}{after}"


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` return 1 where it is not what the figures give."""
    page = PAGE.read_text(encoding="utf-8")
    try:
        wanted = with_computed(page)
    except LookupError as error:  # a part of `make bench` failed, and its rows are not there
        print(f"docs/capacity.md is left as it is: {error}", file=sys.stderr)
        return 1
    if "--check" in arguments:
        return int(wanted != page)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
