"""What a study counts as, once none of its films is open: the words between Redis and whoever counts.

Knows no Redis. The scripts read ``counted``, ``films``, ``class`` and ``is_drawn`` of a standing, and of an assessment
``who``, ``blind``, ``films`` and ``same``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from model.decision import Outcome
from services.jobs.records import ModelReference, PolicyReference, Record
from services.jobs.worklist import RollUp

_DRAW_BITS: Final = 53  # what a double holds of a share


class Standing(StrEnum):
    """Under what a study is counted."""

    FLAGGED = "flagged"
    NOT_FLAGGED = "not_flagged"
    NOT_ASSESSED = "not_assessed"
    GONE = "gone"  # every film was withdrawn

    @property
    def is_scored(self) -> bool:
        """Whether a reader can agree or disagree with it."""
        return self in (Standing.FLAGGED, Standing.NOT_FLAGGED)


class Counted(StrEnum):
    """What a tally counts: studies by their standing, and those of them that were drawn."""

    FLAGGED = "flagged"
    NOT_FLAGGED = "not_flagged"
    NOT_ASSESSED = "not_assessed"
    DRAWN = "drawn"  # of those that are not flagged


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Decider(_Frozen):
    """Which model and policy decided a study; both ``None`` where its films do not agree on that."""

    model: ModelReference | None = None
    policy: PolicyReference | None = None


class TallyField(_Frozen):
    """Of what a field of the tally is the count. Its JSON is the field's name, so its form must not change."""

    day: date
    decider: Decider
    counted: Counted


class StandingRecord(_Frozen):
    """What a study counts as.

    Attributes
    ----------
    counted
        The fields of the tally that it is in.
    films
        Names the films that were judged: what a reader says of them holds for them, and for no others.
    decision
        Names this decision of them.
    day
        UTC day of the decision.
    share
        With which probability the study was drawn, or not; ``None`` where it never was scored.
    """

    standing: Standing = Field(alias="class")
    counted: tuple[str, ...]
    films: str
    decision: str
    day: date
    decider: Decider
    share: float | None
    is_drawn: bool

    def text(self) -> str:
        """Return it as it lies in Redis."""
        return self.model_dump_json(by_alias=True)


class Truth(StrEnum):
    """What a reader, a report or the patient's course says of a study."""

    FINDING = "finding"
    NO_FINDING = "no_finding"
    UNCERTAIN = "uncertain"


class Source(StrEnum):
    """How somebody knows."""

    READER = "reader"
    REPORT = "report"
    FOLLOW_UP = "follow_up"


class Verdict(StrEnum):
    """What a reader thinks of the outcome."""

    AGREE = "agree"
    DISAGREE = "disagree"


class Assessment(_Frozen):
    """What one reader said of a study, beside what had been decided of it then. ``same`` names what was said."""

    id: str
    study_uid: str
    site: str
    at_ms: int
    who: str | None
    verdict: Verdict | None
    truth: Truth
    source: Source
    blind: bool
    outcome: Outcome
    probability: float
    threshold: float
    instance_id: str
    policy: PolicyReference
    model: ModelReference
    films: str
    same: str

    def text(self) -> str:
        """Return it as it lies in Redis and in the trail."""
        return self.model_dump_json()


class CountedTruth(_Frozen):
    """What an assessment says that is counted, and of which films."""

    films: str
    truth: Truth


@dataclass(frozen=True, kw_only=True)
class Draw:
    """By which number studies are drawn, and which share of them."""

    seed: int
    share: float

    def takes(self, site: str, study_uid: str) -> bool:
        """Return whether a study is drawn: by a number of its own for ever, so that nobody draws twice.

        A permanent random number (Ohlsson, in Business Survey Methods, 1995): a study that changes is drawn, or not, as
        it was before, and whether it is depends on nothing that was decided of it.
        """
        digest = hashlib.sha256(f"{self.seed}|{site}|{study_uid}".encode()).digest()
        number = int.from_bytes(digest[:8]) >> (64 - _DRAW_BITS)
        return number < int(self.share * 2**_DRAW_BITS)


@dataclass(frozen=True, kw_only=True)
class SettledStudy:
    """A study without open films; ``rollup`` is ``None`` where all were withdrawn, ``on`` the day of the look.

    ``is_late``: it settled before studies were counted, and somebody asks for it now.
    """

    site: str
    study_uid: str
    rollup: RollUp | None
    films: Sequence[Record]
    on: date
    is_late: bool = False


def standing_of(study: SettledStudy, draw: Draw, before: StandingRecord | None) -> StandingRecord:
    """Return what a study counts as: decided on the day of its last film, by what made it what it is.

    What was drawn ``before`` stays drawn, with the share of that day; what was not drawn then never is. One that is
    late is neither counted nor drawn: readers ask for what is flagged, and counts of what they ask for would praise.
    """
    standing = Standing.GONE if study.rollup is None else Standing(study.rollup)
    day = study.on
    ends = [film.done_at.date() for film in study.films if film.done_at is not None]
    if standing.is_scored and ends:
        day = max(ends)
    share, is_drawn = (None, False) if before is None else (before.share, before.is_drawn)
    if standing.is_scored and share is None and not study.is_late:
        share, is_drawn = draw.share, draw.takes(study.site, study.study_uid)
    decider = _decider(study.films, standing) if standing.is_scored else Decider()
    return StandingRecord(
        **{"class": standing},
        counted=() if study.is_late else _fields(standing, decider, day, is_drawn),
        films=_digest(sorted(film.id for film in study.films)),
        decision=_digest(sorted(f"{film.id} {film.done_at}" for film in study.films)),
        day=day,
        decider=decider,
        share=share,
        is_drawn=is_drawn,
    )


def _decider(films: Sequence[Record], standing: Standing) -> Decider:
    deciders = {
        (film.model, film.policy) for film in films if film.outcome is not None and film.outcome.value == standing.value
    }
    if len(deciders) != 1:
        return Decider()
    ((model, policy),) = deciders
    return Decider(model=model, policy=policy)


def _fields(standing: Standing, decider: Decider, day: date, is_drawn: bool) -> tuple[str, ...]:
    if standing is Standing.GONE:
        return ()
    kinds = [Counted(standing)]
    if standing is Standing.NOT_FLAGGED and is_drawn:
        kinds.append(Counted.DRAWN)
    return tuple(TallyField(day=day, decider=decider, counted=kind).model_dump_json() for kind in kinds)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


ASSESSMENT: Final[TypeAdapter[Assessment]] = TypeAdapter(Assessment)
