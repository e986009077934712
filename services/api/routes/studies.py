"""The worklist: studies in the order in which they should be read."""

from __future__ import annotations

import hashlib
from functools import lru_cache, partial
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.responses import Response

from services.api.access.guard import address_of
from services.api.conditional import NOT_MODIFIED, is_known
from services.api.errors import InvalidCursor
from services.api.gateway import CallerDependency, Gateway, GatewayDependency
from services.api.parameters import Since, SiteFilter, StudyQuery, StudyUid
from services.api.problems import documented
from services.api.refusals import SiteNotAllowed
from services.api.schemas import StudyDetail, StudyLine, StudyPage
from services.api.scopes import Caller, Role, needs, required_roles
from services.api.unchanged import PolledRoute
from services.jobs.ledger.entries import AuditEvent
from services.jobs.records import Priority
from services.jobs.worklist import RollUp, Worklist, WorklistFilter

router = APIRouter(prefix="/v1/studies", tags=["studies"])

_JSON: Final = "application/json"
# Of a page that is polled there is one for each hour and filter.
_QUERIES_KEPT: Final = 256


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
    blind: bool = Field(
        default=False,
        description="Only studies that wait to be read without their outcome, which is `blind` in each line then.",
    )
    cursor: str | None = Field(default=None, max_length=512, description="`next_cursor` of the page before.")
    limit: int = Field(default=100, ge=1, le=500, description="Studies on a page.")

    def filter(self, caller: Caller) -> WorklistFilter:
        """Return what the caller wants to see, of what it may."""
        sites = caller.sites_for(self.site)
        return WorklistFilter(
            sites=sites, outcome=self.outcome, priority=self.priority, since=self.since, is_blind=self.blind
        )

    @model_validator(mode="after")
    def _outcome_stays_hidden(self) -> StudiesQuery:
        if self.blind and self.outcome is not None:
            raise ValueError("a list of studies to be read blind is not chosen by outcome")
        return self


@router.get("", summary="The worklist", response_model=StudyPage, responses=NOT_MODIFIED | documented(422, 503))
@needs(Role.READ)
async def list_studies(
    request: Request, query: Annotated[StudiesQuery, Query()], gateway: GatewayDependency, caller: CallerDependency
) -> Response:
    """Return a page of studies: stat first; flagged, not assessed and overdue, pending, the rest; oldest first."""
    wanted = query.filter(caller)
    # The revision is read before the page: a page newer than its tag is only fetched once more, never missed.
    tag = _tag(await gateway.revision(), query, wanted.sites)
    headers, has_it = {"ETag": tag}, is_known(tag, request)
    # A cursor has to be read first: one that is none of ours is refused, whatever tag he names (RFC 9110 §13.2.1).
    if has_it and query.cursor is None:
        return Response(status_code=304, headers=headers)
    body = await gateway.pages.page(tag, partial(_page, gateway.worklist, query, wanted))
    return Response(status_code=304, headers=headers) if has_it else Response(body, headers=headers, media_type=_JSON)


async def _page(worklist: Worklist, query: StudiesQuery, wanted: WorklistFilter) -> bytes:
    try:
        page = await worklist.page(wanted, cursor=query.cursor, limit=query.limit)
    except ValueError as error:
        raise InvalidCursor("The cursor is none of this service's. Start again without one.") from error
    studies = tuple(StudyLine.of(study, is_blind=query.blind) for study in page.studies)
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


@lru_cache(maxsize=_QUERIES_KEPT)
def _tag(revision: str, query: StudiesQuery, sites: tuple[str, ...] | None) -> str:
    # With the sites: what one key has seen says nothing of what another may see.
    asked = f"{revision}|{query.model_dump_json()}|{sites}"
    return f'W/"{hashlib.sha256(asked.encode()).hexdigest()[:32]}"'


def polled(gateway: Gateway) -> PolledRoute:
    """Return what the short way of a poll has to know of the worklist."""
    roles = required_roles(list_studies)
    assert roles
    return PolledRoute(path=router.prefix, roles=roles, tag_now=partial(_tag_now, gateway))


async def _tag_now(gateway: Gateway, query_string: bytes, caller: Caller) -> str | None:
    query = _plain_query(query_string)
    if query is None or query.cursor is not None:
        return None
    try:
        sites = caller.sites_for(query.site)
    except SiteNotAllowed:
        return None
    return _tag(await gateway.revision(), query, sites)


@lru_cache(maxsize=_QUERIES_KEPT)
def _plain_query(query_string: bytes) -> StudiesQuery | None:
    """Return what a query string asks for; ``None`` where the framework has to say whether it asks for anything."""
    named = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    if len(dict(named)) != len(named):
        return None
    try:
        return StudiesQuery.model_validate(dict(named))
    except ValidationError:
        return None
