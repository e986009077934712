"""How well the decisions fare, by what readers found."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from services.api.gateway import CallerDependency, GatewayDependency
from services.api.parameters import Day, SiteFilter
from services.api.problems import documented
from services.api.scopes import Role, needs
from services.jobs.performance import Cell, Reading, figures_of
from services.jobs.performance import Estimate as Measured
from services.jobs.proportions import CONFIDENCE
from services.jobs.records import ModelReference, PolicyReference
from services.jobs.standings import Truth
from services.jobs.tallies import Group, total

router = APIRouter(prefix="/v1/performance", tags=["performance"])


class PerformanceQuery(BaseModel):
    """Which studies: of which sites, and decided on which UTC days, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    site: SiteFilter | None = Field(default=None, description="Default: every site of the key.")
    since: Day | None = Field(default=None, description="First day (UTC) of decision.")
    until: Day | None = Field(default=None, description="Last day (UTC) of decision.")


class Estimate(BaseModel):
    """A figure with its 95 % interval, which rests on ``n`` readings; ``note`` says why there is none."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    note: str | None

    @classmethod
    def of(cls, measured: Measured) -> Estimate:
        """Return a figure as callers see it."""
        figure = measured.figure
        if figure is None:
            return cls(value=None, low=None, high=None, n=measured.n, note=measured.note)
        return cls(value=figure.value, low=figure.low, high=figure.high, n=measured.n, note=None)


class StudyCounts(BaseModel):
    """Studies by what they were decided as."""

    flagged: int
    not_flagged: int
    not_assessed: int


class FlaggedReadings(BaseModel):
    """Flagged studies that were assessed. ``with_truth`` are those whose truth is not uncertain.

    They are taken for a fair part of all flagged ones; where only striking ones get a truth, PPV is too high.
    """

    with_truth: int
    finding: int
    no_finding: int
    uncertain: int


class BlindReadings(FlaggedReadings):
    """Studies that are not flagged: how many were drawn, what was read blind, and how many others were assessed.

    Drawn ones that nobody has read are taken for those that were. ``volunteered`` are in no figure: who speaks up about
    a study that was not flagged has found something.
    """

    drawn: int
    volunteered: int


class Figures(BaseModel):
    """Counts, and what follows from them.

    ``outdated`` studies changed since they were assessed, or have no count any more, and are in no figure.
    """

    first_day: date | None
    last_day: date | None
    studies: StudyCounts
    flagged: FlaggedReadings
    not_flagged: BlindReadings
    outdated: int
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate


class GroupFigures(Figures):
    """Of one site, model and policy; both ``null`` where a study's films were decided by several."""

    site: str
    model: ModelReference | None
    policy: PolicyReference | None


class BlindQueue(BaseModel):
    """Which share of studies is drawn now, and how many wait to be read."""

    share: float
    waiting: int


class Performance(BaseModel):
    """Everything together, and each model and policy by itself."""

    since: date | None
    until: date | None
    confidence: float
    blind: BlindQueue
    overall: Figures
    groups: tuple[GroupFigures, ...]


@router.get("", summary="Sensitivity and the like, by readers", responses=documented(422, 503))
@needs(Role.READ)
async def performance(
    query: Annotated[PerformanceQuery, Query()], gateway: GatewayDependency, caller: CallerDependency
) -> Performance:
    """Return local sensitivity, specificity, PPV and NPV with intervals, or "n too small"."""
    sites = caller.sites_for(query.site)
    groups = await gateway.feedback.tallies.groups(sites, since=query.since, until=query.until)
    waiting = await gateway.feedback.settled.waiting(sites)
    # Off the loop: the readings of 400 days are counted one by one.
    overall, each = await asyncio.to_thread(_figures, groups)
    return Performance(
        since=query.since,
        until=query.until,
        confidence=CONFIDENCE,
        blind=BlindQueue(share=gateway.feedback.settled.share, waiting=sum(waiting.values())),
        overall=overall,
        groups=each,
    )


def _figures(groups: list[Group]) -> tuple[Figures, tuple[GroupFigures, ...]]:
    overall = Figures.model_validate(
        _facts([group.cell for group in groups])
        | {
            "first_day": min((group.first_day for group in groups), default=None),
            "last_day": max((group.last_day for group in groups), default=None),
        }
    )
    return overall, tuple(_of_group(group) for group in groups)


def _of_group(group: Group) -> GroupFigures:
    return GroupFigures.model_validate(
        _facts([group.cell])
        | {
            "site": group.site,
            "model": group.decider.model,
            "policy": group.decider.policy,
            "first_day": group.first_day,
            "last_day": group.last_day,
        }
    )


def _facts(cells: list[Cell]) -> dict[str, object]:
    cell, figures = total(cells), figures_of(cells)
    return {
        "studies": StudyCounts(flagged=cell.flagged, not_flagged=cell.not_flagged, not_assessed=cell.not_assessed),
        "flagged": FlaggedReadings(**_truths(cell.of_flagged)),
        "not_flagged": BlindReadings(**_truths(cell.blind), drawn=cell.drawn, volunteered=cell.volunteered),
        "outdated": cell.outdated,
        "sensitivity": Estimate.of(figures.sensitivity),
        "specificity": Estimate.of(figures.specificity),
        "ppv": Estimate.of(figures.ppv),
        "npv": Estimate.of(figures.npv),
    }


def _truths(readings: tuple[Reading, ...]) -> dict[str, int]:
    counts = {truth: sum(reading.truth is truth for reading in readings) for truth in Truth}
    return {
        "with_truth": counts[Truth.FINDING] + counts[Truth.NO_FINDING],
        "finding": counts[Truth.FINDING],
        "no_finding": counts[Truth.NO_FINDING],
        "uncertain": counts[Truth.UNCERTAIN],
    }
