"""What readers say of studies: kept beside what had been decided of them, so that it can be counted later.

No free text, because it would hold patients. Place in the walk: behind it, called by the gateway and after a loss.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from redis.asyncio import Redis

from model.decision import Outcome
from services.jobs import keys, lua
from services.jobs.blind import SettledStudies
from services.jobs.connection import bounded
from services.jobs.errors import NotBlind, RecordCorrupt, StudyNotScored, TooManyAssessments
from services.jobs.queue import JobQueue
from services.jobs.records import Record
from services.jobs.standings import ASSESSMENT, Assessment, Source, Standing, StandingRecord, Truth, Verdict
from services.jobs.worklist import Worklist

MOST_OF_A_STUDY: Final = 100
_TRIES: Final = 3
_PATIENCE_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Said:
    """What somebody says of a study. ``verdict`` is ``None`` of a blind reading: it follows from the truth."""

    truth: Truth
    source: Source
    is_blind: bool
    verdict: Verdict | None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An assessment as it was kept. ``is_new`` is False where it repeats this reader's last one."""

    assessment: Assessment
    is_new: bool
    standing: str


@dataclass(frozen=True, kw_only=True)
class StudyReadings:
    """What is known of a study's readings; ``standing`` is ``None`` while a film of it is open."""

    standing: StandingRecord | None
    is_waiting: bool
    assessments: tuple[Assessment, ...]

    @property
    def counting(self) -> Assessment | None:
        """The assessment whose truth counts: the first blind one of these films, else the last one of them."""
        films = None if self.standing is None else self.standing.films
        of_films = [assessment for assessment in self.assessments if assessment.films == films]
        blind = [assessment for assessment in of_films if assessment.blind]
        return blind[0] if blind else (of_films[-1] if of_films else None)


class Assessments:
    """Keeps assessments. Every call raises ``QueueUnavailable`` where Redis does not answer, and may be repeated."""

    def __init__(self, redis: Redis, queue: JobQueue, worklist: Worklist, settled: SettledStudies) -> None:
        self._redis = redis
        self._queue = queue
        self._worklist = worklist
        self._settled = settled
        self._assess = redis.register_script(lua.source("assess"))

    async def assess(self, site: str, study_uid: str, said: Said, *, who: str | None) -> Kept:
        """Keep what a reader says of a study as it is decided now.

        Raises
        ------
        StudyNotFound
            If nobody knows the study.
        StudyNotScored
            If a film of it is open, or it was not assessed, or changed again and again meanwhile.
        NotBlind
            If it was to be a blind reading, and is none.
        TooManyAssessments
            If the study has as many as one may have.
        """
        for _ in range(_TRIES):
            standing, text, films = await self._decided(site, study_uid)
            assessment = _assessment(site, study_uid, said, who, standing, films)
            async with bounded(_PATIENCE_SECONDS):
                verdict, *kept = await self._assess(
                    keys=[keys.SETTLED],
                    args=[site, study_uid, text, who or "", assessment.text(), MOST_OF_A_STUDY],
                )
            if verdict == "full":
                raise TooManyAssessments("this study has as many assessments as one may have")
            if verdict == "not_blind":
                raise NotBlind("this study does not wait to be read blind by this reader")
            if verdict != "changed":
                return Kept(assessment=_read(kept[0]), is_new=verdict == "noted", standing=text)
        raise StudyNotScored("the study is being decided anew")

    async def of_study(self, site: str, study_uid: str) -> StudyReadings:
        """Return a study's assessments, oldest first; raise ``StudyNotFound``."""
        await self._worklist.study(site, study_uid)
        standing, _ = await self._settled.standing(site, study_uid)
        async with bounded(_PATIENCE_SECONDS):
            lines: Any = await self._redis.lrange(keys.assessments(site, study_uid), 0, -1)
        return StudyReadings(
            standing=standing,
            is_waiting=await self._settled.is_waiting(site, study_uid),
            assessments=tuple(_read(line) for line in lines),
        )

    async def _decided(self, site: str, study_uid: str) -> tuple[StandingRecord, str, list[Record]]:
        summary, film_ids = await self._worklist.study(site, study_uid)
        standing, text = await self._settled.standing(site, study_uid)
        if summary.pending or standing is None or not standing.standing.is_scored:
            raise StudyNotScored("the study has no outcome that could be assessed")
        outcome = Outcome.FLAGGED if standing.standing is Standing.FLAGGED else Outcome.NOT_FLAGGED
        films = [film for film in await self._queue.records(list(film_ids)) if film.outcome is outcome]
        if not films:
            raise StudyNotScored("the study is being decided anew")
        return standing, text, films


def _assessment(
    site: str, study_uid: str, said: Said, who: str | None, standing: StandingRecord, films: list[Record]
) -> Assessment:
    film = max(films, key=lambda film: film.probability or 0.0)
    assert film.outcome is not None and film.probability is not None and film.threshold is not None  # noqa: PT018
    assert film.policy is not None and film.model is not None  # noqa: PT018
    words = (standing.decision, said.truth, said.source, said.is_blind, said.verdict)
    return Assessment(
        id=secrets.token_hex(16),
        study_uid=study_uid,
        site=site,
        at_ms=time.time_ns() // 1_000_000,
        who=who,
        verdict=_verdict(said, film.outcome),
        truth=said.truth,
        source=said.source,
        blind=said.is_blind,
        outcome=film.outcome,
        probability=film.probability,
        threshold=film.threshold,
        instance_id=film.id,
        policy=film.policy,
        model=film.model,
        films=standing.films,
        same=hashlib.sha256(repr(words).encode()).hexdigest()[:32],
    )


def _verdict(said: Said, outcome: Outcome) -> Verdict | None:
    """Return the reader's verdict; who has not seen the outcome agrees with it where the truth does."""
    if not said.is_blind:
        return said.verdict
    if said.truth is Truth.UNCERTAIN:
        return None
    return Verdict.AGREE if (said.truth is Truth.FINDING) == (outcome is Outcome.FLAGGED) else Verdict.DISAGREE


def _read(line: str) -> Assessment:
    try:
        return ASSESSMENT.validate_json(line)
    except ValidationError as error:
        raise RecordCorrupt("a stored assessment cannot be read") from error
