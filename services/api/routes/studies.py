"""The worklist: studies in the order in which they should be read."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from services.api.access.guard import address_of
from services.api.conditional import NOT_MODIFIED, is_known
from services.api.errors import InvalidCursor
from services.api.gateway import CallerDependency, GatewayDependency
from services.api.problems import documented
from services.api.schemas import StudyDetail, StudyLine, StudyPage
from services.api.scopes import SITE_PATTERN, Caller, Role, needs
from services.jobs.ledger.entries import AuditEvent
from services.jobs.records import Priority
from services.jobs.worklist import RollUp, Worklist, WorklistFilter

router = APIRouter(prefix="/v1/studies", tags=["studies"])

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
    site: SiteFilter | None = Field(
        default=None, description="Only studies of this site. Default: every site of the key."
    )
    since: Since | None = Field(
        default=None, description="Only studies submitted at or after this time (RFC 3339 with offset)."
    )
    cursor: str | None = Field(default=None, max_length=512, description="`next_cursor` of the page before.")
    limit: int = Field(default=100, ge=1, le=500, description="Studies on a page.")

    def filter(self, caller: Caller) -> WorklistFilter:
        """Return what the caller wants to see, of what it may."""
        sites = caller.sites_for(self.site)
        return WorklistFilter(sites=sites, outcome=self.outcome, priority=self.priority, since=self.since)


class StudyQuery(BaseModel):
    """Parameters of a look at one study."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    site: SiteFilter | None = Field(default=None, description="Default: the key's only site, else `default`.")


@router.get("", summary="The worklist", response_model=StudyPage, responses=NOT_MODIFIED | documented(422, 503))
@needs(Role.READ)
async def list_studies(
    request: Request, query: Annotated[StudiesQuery, Query()], gateway: GatewayDependency, caller: CallerDependency
) -> Response:
    """Return a page of studies: stat first; flagged, not assessed and overdue, pending, the rest; oldest first."""
    wanted = query.filter(caller)
    # The revision is read before the page: a page newer than its tag is only fetched once more, never missed.
    tag = f'W/"{_tag(await gateway.revision(), query, wanted)}"'
    headers = {"ETag": tag}
    if is_known(tag, request):
        return Response(status_code=304, headers=headers)
    body = await gateway.pages.page(tag, partial(_page, gateway.worklist, query, wanted))
    return Response(body, headers=headers, media_type="application/json")


async def _page(worklist: Worklist, query: StudiesQuery, wanted: WorklistFilter) -> bytes:
    try:
        page = await worklist.page(wanted, cursor=query.cursor, limit=query.limit)
    except ValueError as error:
        raise InvalidCursor("The cursor is none of this service's. Start again without one.") from error
    studies = tuple(StudyLine.of(study) for study in page.studies)
    return StudyPage(studies=studies, next_cursor=page.next_cursor, complete=page.complete).model_dump_json().encode()


@router.get("/{study_uid}", summary="A study and its films", responses=documented(404, 422, 503))
@needs(Role.READ)
async def study(
    request: Request,
    study_uid: StudyUid,
    query: Annotated[StudyQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> StudyDetail:
    """Return a study's roll-up and the records of its films, oldest first."""
    site = caller.site_for(query.site)
    summary, film_ids = await gateway.worklist.study(site, study_uid)
    instances = await gateway.queue.records(list(film_ids))
    gateway.audit.note(
        AuditEvent.ACCESSED, study_uid=study_uid, site=site, who=caller.key_id, source=address_of(request)
    )
    return StudyDetail(**StudyLine.of(summary).model_dump(), instances=tuple(instances))


def _tag(revision: str, query: StudiesQuery, wanted: WorklistFilter) -> str:
    # With the sites: what one key has seen says nothing of what another may see.
    return hashlib.sha256(f"{revision}|{query.model_dump_json()}|{wanted.sites}".encode()).hexdigest()[:32]
