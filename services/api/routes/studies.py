"""The worklist: studies in the order in which they should be read."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from services.api.conditional import NOT_MODIFIED, is_known
from services.api.errors import InvalidCursor
from services.api.gateway import GatewayDependency, require_key
from services.api.problems import documented
from services.api.routes.instances import SITE_PATTERN
from services.api.schemas import StudyDetail, StudyLine, StudyPage
from services.jobs.records import Priority
from services.jobs.worklist import RollUp, WorklistFilter

router = APIRouter(prefix="/v1/studies", tags=["studies"], dependencies=[Depends(require_key)])

StudyUid = Annotated[str, Path(pattern=r"^[0-9][0-9.]{0,63}$", description="StudyInstanceUID.")]
SiteFilter = Annotated[str, Field(pattern=SITE_PATTERN)]

_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")


def _is_written_out(value: object) -> object:
    """Refuse the bare numbers that pydantic takes for seconds or milliseconds since 1970, as it sees fit."""
    if isinstance(value, str) and not _RFC_3339.match(value):
        raise ValueError("must be a time as RFC 3339 writes it")
    return value


Since = Annotated[AwareDatetime, BeforeValidator(_is_written_out)]


class StudiesQuery(BaseModel):
    """Filters of the worklist. An unknown one is refused: an ignored filter would show another list than asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    outcome: RollUp | None = Field(default=None, description="Only studies whose roll-up is this.")
    priority: Priority | None = Field(default=None, description="Only studies of this priority.")
    site: SiteFilter | None = Field(default=None, description="Only studies of this site.")
    since: Since | None = Field(
        default=None, description="Only studies submitted at or after this time (RFC 3339 with offset)."
    )
    cursor: str | None = Field(default=None, max_length=512, description="`next_cursor` of the page before.")
    limit: int = Field(default=100, ge=1, le=500, description="Studies on a page.")

    def filter(self) -> WorklistFilter:
        """Return what the caller wants to see."""
        sites = None if self.site is None else (self.site,)
        return WorklistFilter(sites=sites, outcome=self.outcome, priority=self.priority, since=self.since)


class StudyQuery(BaseModel):
    """Parameters of a look at one study."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    site: SiteFilter = "default"


@router.get("", summary="The worklist", response_model=StudyPage, responses=NOT_MODIFIED | documented(422, 503))
async def list_studies(
    request: Request, query: Annotated[StudiesQuery, Query()], gateway: GatewayDependency
) -> Response:
    """Return a page of studies: stat first; flagged, not assessed and overdue, pending, the rest; oldest first."""
    # The revision is read before the page: a page newer than its tag is only fetched once more, never missed.
    tag = f'W/"{_tag(await gateway.worklist.revision(), query)}"'
    headers = {"ETag": tag}
    if is_known(tag, request):
        return Response(status_code=304, headers=headers)
    try:
        page = await gateway.worklist.page(query.filter(), cursor=query.cursor, limit=query.limit)
    except ValueError as error:
        raise InvalidCursor("The cursor is none of this service's. Start again without one.") from error
    studies = tuple(StudyLine.of(study) for study in page.studies)
    body = StudyPage(studies=studies, next_cursor=page.next_cursor, complete=page.complete)
    return Response(body.model_dump_json(), headers=headers, media_type="application/json")


@router.get("/{study_uid}", summary="A study and its films", responses=documented(404, 422, 503))
async def study(study_uid: StudyUid, query: Annotated[StudyQuery, Query()], gateway: GatewayDependency) -> StudyDetail:
    """Return a study's roll-up and the records of its films, oldest first."""
    summary, film_ids = await gateway.worklist.study(query.site, study_uid)
    instances = await gateway.queue.records(list(film_ids))
    return StudyDetail(**StudyLine.of(summary).model_dump(), instances=tuple(instances))


def _tag(revision: str, query: StudiesQuery) -> str:
    return hashlib.sha256(f"{revision}|{query.model_dump_json()}".encode()).hexdigest()[:32]
