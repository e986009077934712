"""What each threshold of a model does to its test patients: the table behind policies, one a model digest.

Made from a bundle's report, kept in Redis by whoever has the bundle at hand (a worker that serves it, the command that
activates it), so that gateways, which have no bundles, know what a threshold amounts to. A table never changes.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import Redis

from model.bundle import Bundle
from model.manifest import Manifest, OperatingPoint
from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.errors import RecordCorrupt
from services.jobs.intervals import Estimate, wilson
from services.jobs.records import ModelReference

_EVERYTHING: Final = 0.0
_NOTHING: Final = 1.0


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class TableRow(_Frozen):
    """At this threshold so many unhealthy and so many healthy films are flagged."""

    threshold: float = Field(ge=0.0, le=1.0)
    true_positives: int = Field(ge=0)
    false_positives: int = Field(ge=0)


class OperatingTable(_Frozen):
    """The table of one model.

    Attributes
    ----------
    positives, negatives
        Unhealthy and healthy films that ``rows`` were counted on, named by ``evidence``.
    rows
        By rising threshold. The first flags everything (threshold 0), the last nothing (threshold 1).
    default_point
        The bundle's own default operating point, and its threshold.
    """

    model: ModelReference
    operating_points: tuple[OperatingPoint, ...]
    default_point: str
    positives: int
    negatives: int
    evidence: str
    rows: tuple[TableRow, ...] = Field(min_length=2)

    def row(self, threshold: float) -> TableRow:
        """Return what a threshold amounts to: the first row at or above it.

        No film of the test scores between two rows. Where a report thinned its curves some may; more films are flagged
        then than the row says, never fewer.
        """
        at = bisect_left([row.threshold for row in self.rows], threshold)
        return self.rows[min(at, len(self.rows) - 1)]

    def sensitivity(self, threshold: float) -> Estimate | None:
        """Return the share of unhealthy films that are flagged; ``None`` where there were none."""
        return wilson(self.row(threshold).true_positives, self.positives)

    def specificity(self, threshold: float) -> Estimate | None:
        """Return the share of healthy films that are not flagged; ``None`` where there were none."""
        return wilson(self.negatives - self.row(threshold).false_positives, self.negatives)

    @property
    def default(self) -> OperatingPoint:
        """The point that decides where no policy does."""
        return next(point for point in self.operating_points if point.name == self.default_point)


def table_of(bundle: Bundle) -> OperatingTable:
    """Return a bundle's table: from its report's curves, else from the manifest's named points alone."""
    manifest = bundle.manifest
    default = manifest.operating_point()
    positives, negatives = default.positives, default.negatives
    rows, evidence = _rows_of_points(manifest, positives, negatives), default.evidence
    if curves := _counted_curves(bundle.report):
        positives, negatives, evidence, rows = curves
    return OperatingTable(
        model=ModelReference(name=manifest.name, version=manifest.version, digest=bundle.digest),
        operating_points=manifest.operating_points,
        default_point=manifest.default_operating_point,
        positives=positives,
        negatives=negatives,
        evidence=evidence,
        rows=_ended(rows, positives, negatives),
    )


class OperatingTables:
    """The tables in Redis.

    Every call raises ``QueueUnavailable`` where Redis does not answer, and may be repeated.
    """

    def __init__(self, redis: Redis, *, patience_seconds: float | None = 5.0) -> None:
        self._redis = redis
        self._patience_seconds = patience_seconds
        self._script = redis.register_script(lua.source("policy_table"))

    async def get(self, digest: str) -> OperatingTable | None:
        """Return a model's table; ``None`` where nobody has kept one. Raises ``RecordCorrupt`` where it is none."""
        async with bounded(self._patience_seconds):
            text: Any = await self._redis.hget(keys.TABLES, digest)
        try:
            return None if text is None else OperatingTable.model_validate_json(text)
        except ValidationError as error:
            raise RecordCorrupt("a stored operating table cannot be read") from error

    async def has(self, digest: str) -> bool:
        """Return whether a model's table is kept."""
        async with bounded(self._patience_seconds):
            return bool(await self._redis.hexists(keys.TABLES, digest))

    async def keep(self, table: OperatingTable) -> None:
        """Keep a table; harmless where it is there."""
        await self._run("keep", table.model.digest, table.model_dump_json())

    async def forget(self, digest: str) -> bool:
        """Drop the table of a bundle that was removed; return False where a policy or an activation names it still."""
        return await self._run("forget", digest) == "ok"

    async def _run(self, step: str, *arguments: str) -> str:
        async with bounded(self._patience_seconds):
            return str(await self._script(keys=[keys.TABLES], args=[step, *arguments]))


class _DecisionCost(_Frozen):
    """What a report says of each threshold, of 1,000 films like those of its test."""

    threshold: tuple[float, ...]
    cleared_per_1000: tuple[float, ...]
    missed_per_1000: tuple[float, ...]


class _Test(_Frozen):
    films: int = Field(ge=1)
    patients: int
    unhealthy: int = Field(ge=0)


class _Curves(_Frozen):
    decision_cost: _DecisionCost


class _Report(_Frozen):
    test: _Test
    curves: _Curves


def _counted_curves(report: bytes | None) -> tuple[int, int, str, list[TableRow]] | None:
    """Return positives, negatives, evidence and rows as films; ``None`` where a report has no such curves."""
    if report is None:
        return None
    try:
        found = _Report.model_validate(json.loads(report))
    except ValueError:  # another form of report: the manifest's points are there
        return None
    test, cost = found.test, found.curves.decision_cost
    rows = []
    for threshold, cleared, missed in zip(cost.threshold, cost.cleared_per_1000, cost.missed_per_1000, strict=False):
        misses = round(missed * test.films / 1000)
        released = round(cleared * test.films / 1000) - misses
        rows.append(_row(threshold, test.unhealthy - misses, test.films - test.unhealthy - released))
    evidence = f"{test.films} films of {test.patients} test patients, {test.unhealthy} of them unhealthy"
    return test.unhealthy, test.films - test.unhealthy, evidence, rows


def _rows_of_points(manifest: Manifest, positives: int, negatives: int) -> list[TableRow]:
    """Return a row for each point that was measured on the same films as the default one."""
    return [
        _row(point.threshold, round(point.sensitivity * positives), round((1 - point.specificity) * negatives))
        for point in manifest.operating_points
        if point.sensitivity is not None
        and point.specificity is not None
        and (point.positives, point.negatives) == (positives, negatives)
    ]


def _row(threshold: float, true_positives: int, false_positives: int) -> TableRow:
    return TableRow(threshold=threshold, true_positives=max(0, true_positives), false_positives=max(0, false_positives))


def _ended(rows: Sequence[TableRow], positives: int, negatives: int) -> tuple[TableRow, ...]:
    """Return the rows by rising threshold, one each, between the one that flags everything and the one of nothing."""
    everything, nothing = _row(_EVERYTHING, positives, negatives), _row(_NOTHING, 0, 0)
    by_threshold = {everything.threshold: everything, nothing.threshold: nothing}
    by_threshold |= {row.threshold: row for row in rows if 0.0 < row.threshold < 1.0}
    return tuple(by_threshold[threshold] for threshold in sorted(by_threshold))
