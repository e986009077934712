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
# Where not even the busiest contender had this share of the cores, other work had the rest, and rates say nothing.
_FREE_SHARE: Final = 0.8
LEFT_OUT_OF_QUICK: Final = "left out of quick runs"
_SHARE: Final = "fp32 end to end, share of the ceiling"
_TAIL_ROW: Final = "fp32 end to end, p99 over p50"
_PEERS: Final = "fp32 end to end, above every peer"
_TUNED_PEERS: Final = "fp32 end to end, above tuned peers too"
_BF16: Final = "bf16 end to end, above the best peer in fp32"
_INT8: Final = "int8 end to end, above the best peer in fp32"
_ALL: Final = {_SHARE: 0.90, _TAIL_ROW: 1.3, _PEERS: 1.0, _TUNED_PEERS: 1.0, _BF16: 1.7, _INT8: 2.2}
# Rows against peers: in what this service computes, and whom it is compared with.
_AGAINST: Final[dict[str, tuple[Precision, tuple[Kind, ...]]]] = {
    _PEERS: ("fp32", (Kind.USUAL,)),
    _TUNED_PEERS: ("fp32", (Kind.USUAL, Kind.TUNED)),
    _BF16: ("bf16", (Kind.USUAL,)),
    _INT8: ("int8", (Kind.USUAL,)),
}


class Table:
    """The cells of a run by contender and concurrency; several rounds of one cell count by their median.

    ``tried`` are the trials by which each contender's setup was chosen.
    """

    def __init__(self, contenders: Sequence[Contender], cells: Sequence[Cell], tried: Sequence[Cell] = ()) -> None:
        self._contenders = contenders
        self._cells = cells
        self._tried = tried

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

    def films(self, name: str) -> int:
        """Return how many latencies there are of a contender at eight films at once, over all rounds."""
        return sum(latency.count for cell in self._of(name) if (latency := cell.measured.outcome) is not None)

    def document(self) -> list[dict[str, Any]]:
        """Return an entry for each contender and concurrency, as JSON takes it."""
        return [
            {
                "server": name,
                "concurrency": concurrency,
                "setup": cells[0].setup,
                "tried": {cell.setup: cell.per_second for cell in self._tried if cell.contender == name},
                "per_second": self.per_second(name, concurrency),
                "p50_ms": _median_latency(cells, "p50"),
                "p99_ms": _median_latency(cells, "p99"),
                "server_ms": statistics.median(cell.server_ms for cell in cells),
                "errors": sum(cell.measured.failed for cell in cells),
                "sent": sum(cell.measured.sent for cell in cells),
            }
            for (name, concurrency), cells in self._grouped().items()
        ]

    def told(self, unavailable: Mapping[str, str]) -> list[Row]:
        """Return a row for each contender and concurrency, in films a second; then who has none, and why."""
        measured = [
            Row.told(
                f"{one['server']}, {one['concurrency']} at once",
                measured=one["per_second"],
                unit="films/s",
                note=_note(one),
            )
            for one in self.document()
        ]
        missing = [Row.unmeasured(name, goal=None, unit="films/s", note=why) for name, why in unavailable.items()]
        return measured + missing

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
    if len(entry["tried"]) > 1:
        rates = [f"{name} {rate:.1f}" for name, rate in entry["tried"].items()]
        parts.append(f"tried: {' against '.join(rates)} films/s")
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
        return [Row.unmeasured(name, goal=goal, unit="x", note=why) for name, goal in _ALL.items()]
    spent = f"network {ceiling.model_ms[ceiling.cheapest]:.1f} ({ceiling.cheapest}) + decoding {ceiling.decode_ms:.1f}"
    note = f"{rate:.1f} of {ceiling.per_second:.1f} films/s; {spent} ms on {ceiling.cores} cores"
    films = f"8 films at once, closed loop, {table.films(plain)} films"
    rows = [
        Row.at_least(_SHARE, goal=_ALL[_SHARE], measured=rate / ceiling.per_second, unit="x", note=note),
        Row.at_most(_TAIL_ROW, goal=_ALL[_TAIL_ROW], measured=tail, unit="x", note=films),
    ]
    missing = _missing(everyone, unavailable)
    for name, (precision, kinds) in _AGAINST.items():
        found = table.per_second(ours[precision])
        if found is None:
            rows.append(Row.unmeasured(name, goal=_ALL[name], unit="x", note=unavailable.get(ours[precision], "")))
        else:
            rows.append(_peer_row(name, found, table.best(*kinds), missing))
    return rows


def _missing(everyone: Sequence[Contender], unavailable: Mapping[str, str]) -> str:
    """Return which peers nobody was compared with: "every peer" is those that could be had."""
    names = [one.name for one in everyone if one.kind is not Kind.OURS and one.name in unavailable]
    return f"; without {', '.join(names)}" if names else ""


def _peer_row(name: str, rate: float, best: tuple[str, float] | None, missing: str) -> Row:
    if best is None:
        return Row.unmeasured(name, goal=_ALL[name], unit="x", note="no peer could be measured here")
    peer, theirs = best
    note = f"{rate:.1f} films/s; {peer} {theirs:.1f}{missing}"
    return Row.at_least(name, goal=_ALL[name], measured=rate / theirs, unit="x", note=note)
