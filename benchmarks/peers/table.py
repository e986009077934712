"""What a run amounts to: each contender's figures, and this service's rows against their goals. Pure arithmetic."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.peers.ceiling import Ceiling
from benchmarks.peers.cells import Cell
from benchmarks.peers.contenders import Contender, Kind, Precision
from benchmarks.results import Row

# Of the issue on speed (6), at eight films at once.
GOAL_CONCURRENCY: Final = 8
_SHARE_OF_CEILING: Final = 0.90
# Where not even the busiest contender had this share of the cores, other work had the rest, and rates say nothing.
_FREE_SHARE: Final = 0.8
_TAIL: Final = 1.3
_ABOVE: Final = 1.0
_FASTER: Final[dict[Precision, float]] = {"bf16": 1.7, "int8": 2.2}


class Table:
    """The cells of a run by contender and concurrency; several rounds of one cell count by their median."""

    def __init__(self, contenders: Sequence[Contender], cells: Sequence[Cell]) -> None:
        self._contenders = contenders
        self._cells = cells

    def per_second(self, name: str, concurrency: int = GOAL_CONCURRENCY) -> float | None:
        """Return films a second, ``None`` where there is no such cell."""
        found = [cell.per_second for cell in self._of(name, concurrency)]
        return statistics.median(found) if found else None

    def best(self, *kinds: Kind) -> tuple[str, float] | None:
        """Return the fastest contender of these kinds in fp32, and its films a second."""
        names = [one.name for one in self._contenders if one.kind in kinds and one.precision == "fp32"]
        measured = {name: rate for name in names if (rate := self.per_second(name)) is not None}
        return max(measured.items(), key=lambda item: item[1]) if measured else None

    def tail(self, name: str) -> float | None:
        """Return p99 over p50 of a contender's latencies, at eight films at once."""
        found = [latency.p99 / latency.p50 for cell in self._of(name) if (latency := cell.measured.outcome) is not None]
        return statistics.median(found) if found else None

    def busiest_cores(self) -> float:
        """Return how many cores the contender and the generator had that had most of them, at eight films at once."""
        return max((cell.busy_cores for cell in self._cells if cell.concurrency == GOAL_CONCURRENCY), default=0.0)

    def document(self) -> list[dict[str, Any]]:
        """Return an entry for each contender and concurrency, as JSON takes it."""
        return [
            {
                "server": name,
                "concurrency": concurrency,
                "setup": cells[0].setup,
                "per_second": self.per_second(name, concurrency),
                "p50_ms": _median_latency(cells, "p50"),
                "p99_ms": _median_latency(cells, "p99"),
                "server_ms": statistics.median(cell.server_ms for cell in cells),
                "errors": sum(cell.measured.failed for cell in cells),
                "sent": sum(cell.measured.sent for cell in cells),
            }
            for (name, concurrency), cells in self._grouped().items()
        ]

    def told(self) -> list[Row]:
        """Return a row for each contender and concurrency, in films a second."""
        return [
            Row.told(
                f"{one['server']}, {one['concurrency']} at once",
                measured=one["per_second"],
                unit="films/s",
                note=_note(one),
            )
            for one in self.document()
        ]

    def _grouped(self) -> dict[tuple[str, int], list[Cell]]:
        grouped: dict[tuple[str, int], list[Cell]] = {}
        for cell in sorted(self._cells, key=lambda cell: cell.concurrency):
            grouped.setdefault((cell.contender, cell.concurrency), []).append(cell)
        return grouped

    def _of(self, name: str, concurrency: int = GOAL_CONCURRENCY) -> list[Cell]:
        return self._grouped().get((name, concurrency), [])


def _median_latency(cells: Sequence[Cell], percentile: str) -> float | None:
    """Return the median over rounds; ``None`` where no film was both due and scored after the cell had settled."""
    found = [getattr(latency, percentile) for cell in cells if (latency := cell.measured.outcome) is not None]
    return statistics.median(found) if found else None


def _note(entry: Mapping[str, Any]) -> str:
    parts = [entry["setup"]]
    if entry["p50_ms"] is not None:
        parts.append(f"p50 {entry['p50_ms']:.0f} ms, p99 {entry['p99_ms']:.0f} ms")
    parts.append(f"{entry['server_ms']:.1f} ms of processor a film")
    if entry["errors"]:
        parts.append(f"{entry['errors']} of {entry['sent']} failed")
    return "; ".join(parts)


def goal_rows(
    table: Table, everyone: Sequence[Contender], ceiling: Ceiling, unavailable: Mapping[str, str]
) -> list[Row]:
    """Return this service's rows: against the ceiling, its own tail, and the peers.

    ``unavailable`` says why a contender has no figures. On a machine that was busy with other work no goal is met or
    missed.
    """
    ours = {one.precision: one.name for one in everyone if one.kind is Kind.OURS}
    plain = ours["fp32"]
    rate, tail = table.per_second(plain), table.tail(plain)
    why = unavailable.get(plain, "")
    if rate is not None and table.busiest_cores() < _FREE_SHARE * ceiling.cores:
        why = f"other work: nobody had more than {table.busiest_cores():.1f} of {ceiling.cores} cores"
    if rate is None or tail is None or why:
        return [
            Row.unmeasured("fp32 end to end, share of the ceiling", goal=_SHARE_OF_CEILING, unit="x", note=why),
            Row.unmeasured("fp32 end to end, p99 over p50", goal=_TAIL, unit="x", note=why),
            Row.unmeasured("fp32 end to end, above every peer", goal=_ABOVE, unit="x", note=why),
        ]
    spent = f"network {ceiling.model_ms:.1f} + decoding {ceiling.decode_ms:.1f} ms on {ceiling.cores} cores"
    note = f"{rate:.1f} of {ceiling.per_second:.1f} films/s; {spent}"
    share = rate / ceiling.per_second
    rows = [
        Row.at_least(
            "fp32 end to end, share of the ceiling", goal=_SHARE_OF_CEILING, measured=share, unit="x", note=note
        ),
        Row.at_most("fp32 end to end, p99 over p50", goal=_TAIL, measured=tail, unit="x", note="8 films at once"),
        _peer_row(table, plain, "fp32 end to end, above every peer", _ABOVE, (Kind.USUAL,)),
        _peer_row(table, plain, "fp32 end to end, above tuned peers too", _ABOVE, (Kind.USUAL, Kind.TUNED)),
    ]
    for precision, goal in _FASTER.items():
        name = f"{precision} end to end, above the best peer in fp32"
        if table.per_second(ours[precision]) is None:
            rows.append(Row.unmeasured(name, goal=goal, unit="x", note=unavailable.get(ours[precision], "")))
        else:
            rows.append(_peer_row(table, ours[precision], name, goal, (Kind.USUAL,)))
    return rows


def _peer_row(table: Table, ours: str, name: str, goal: float, kinds: tuple[Kind, ...]) -> Row:
    rate, best = table.per_second(ours), table.best(*kinds)
    assert rate is not None, "asked for a contender that was measured"
    if best is None:
        return Row.unmeasured(name, goal=goal, unit="x", note="no peer could be measured here")
    peer, theirs = best
    return Row.at_least(
        name, goal=goal, measured=rate / theirs, unit="x", note=f"{rate:.1f} films/s; {peer} {theirs:.1f}"
    )
