"""What readers say of studies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from services.api.access.guard import address_of
from services.api.bodies import body_of, read_json
from services.api.gateway import CallerDependency, GatewayDependency
from services.api.parameters import StudyQuery, StudyUid
from services.api.problems import documented
from services.api.scopes import Role, needs
from services.jobs.assessments import Said, StudyReadings
from services.jobs.ledger.assessed import note_of
from services.jobs.ledger.entries import AuditEvent
from services.jobs.records import ModelReference, PolicyReference, moment
from services.jobs.standings import Assessment, Source, Truth, Verdict

router = APIRouter(prefix="/v1/studies", tags=["studies"])


class AssessmentBody(BaseModel):
    """What a reader says. There is no field for words: they would hold patients."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    truth: Truth
    source: Source
    blind: bool = Field(default=False, strict=True)
    verdict: Verdict | None = None

    @model_validator(mode="after")
    def _verdict_is_of_who_has_seen(self) -> AssessmentBody:
        if self.blind and self.verdict is not None:
            raise ValueError("a blind reading has no verdict; it follows from the truth")
        if not self.blind and self.verdict is None:
            raise ValueError("verdict is missing; only a blind reading has none")
        return self


class AssessmentFacts(BaseModel):
    """An assessment, beside what had been decided of the study when it was given.

    ``is_current``: the study's films are still those that were assessed. ``verdict`` is ``null`` of a blind reading
    that was uncertain.
    """

    model_config = ConfigDict(frozen=True)
    id: str
    study_uid: str
    site: str
    at: datetime
    who: str | None
    verdict: Verdict | None
    truth: Truth
    source: Source
    blind: bool
    outcome: Literal["flagged", "not_flagged"]
    probability: float
    threshold: float
    instance_id: str
    policy: PolicyReference
    model: ModelReference
    is_current: bool

    @classmethod
    def of(cls, assessment: Assessment, *, is_current: bool) -> AssessmentFacts:
        """Return what callers see of an assessment."""
        facts = assessment.model_dump(exclude={"at_ms", "films", "same"})
        return cls(**facts, at=moment(assessment.at_ms), is_current=is_current)


class BlindState(BaseModel):
    """Whether a study was drawn to be read blind, with which probability, and whether it still waits."""

    is_drawn: bool
    is_waiting: bool
    share: float | None


class CountingTruth(BaseModel):
    """What counts as the study's truth now."""

    truth: Truth
    source: Source
    blind: bool
    at: datetime


class StudyAssessments(BaseModel):
    """A study's assessments, oldest first."""

    study_uid: str
    site: str
    is_assessable: bool
    blind: BlindState
    truth: CountingTruth | None
    assessments: tuple[AssessmentFacts, ...]


_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": AssessmentFacts, "description": "This reader's last assessment of this decision said the same."},
    201: {"model": AssessmentFacts, "description": "The assessment is kept."},
}


@router.post(
    "/{study_uid}/assessments",
    summary="Say what a study shows",
    status_code=201,
    response_class=Response,
    responses=_ANSWERS | documented(400, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra=body_of(AssessmentBody),
)
@needs(Role.READ)
async def assess(
    request: Request,
    study_uid: StudyUid,
    query: Annotated[StudyQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> Response:
    """Keep a reader's word on a study that is flagged or not flagged. It changes no outcome."""
    site = caller.site_for(query.site)
    body = await read_json(request, AssessmentBody)
    said = Said(truth=body.truth, source=body.source, is_blind=body.blind, verdict=body.verdict)
    kept = await gateway.feedback.assessments.assess(site, study_uid, said, who=caller.key_id)
    # A repetition, too: the first answer may have been lost before it was noted. Its id tells that it is the same.
    gateway.audit.note_facts(note_of(kept.assessment, kept.standing, address=address_of(request)))
    if kept.is_new:
        gateway.metrics.count_assessment(site, kept.assessment.verdict)
    facts = AssessmentFacts.of(kept.assessment, is_current=True)
    return Response(facts.model_dump_json(), status_code=201 if kept.is_new else 200, media_type="application/json")


@router.get("/{study_uid}/assessments", summary="What readers said of a study", responses=documented(404, 422, 503))
@needs(Role.READ)
async def assessments(
    request: Request,
    study_uid: StudyUid,
    query: Annotated[StudyQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> StudyAssessments:
    """Return a study's assessments, and whether it waits to be read without its outcome."""
    site = caller.site_for(query.site)
    readings = await gateway.feedback.assessments.of_study(site, study_uid)
    gateway.audit.note(
        AuditEvent.ACCESSED, study_uid=study_uid, site=site, who=caller.key_id, source=address_of(request)
    )
    return _of_study(site, study_uid, readings)


def _of_study(site: str, study_uid: str, readings: StudyReadings) -> StudyAssessments:
    standing, counting = readings.standing, readings.counting
    films = None if standing is None else standing.films
    return StudyAssessments(
        study_uid=study_uid,
        site=site,
        is_assessable=standing is not None and standing.standing.is_scored,
        blind=BlindState(
            is_drawn=standing is not None and standing.is_drawn,
            is_waiting=readings.is_waiting,
            share=None if standing is None else standing.share,
        ),
        truth=counting
        and CountingTruth(
            truth=counting.truth, source=counting.source, blind=counting.blind, at=moment(counting.at_ms)
        ),
        assessments=tuple(AssessmentFacts.of(one, is_current=one.films == films) for one in readings.assessments),
    )
