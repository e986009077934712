"""The full worklist that other tests and measurements start from is the one that they are told of."""

from __future__ import annotations

from services.jobs.worklist import RollUp, StudySummary, Worklist, WorklistFilter
from tests.support.many_studies import put_studies
from tests.support.redis_server import RedisServer

_SITES = ("default", "icu")


async def studies_in(worklist: Worklist) -> dict[str, StudySummary]:
    """Return every study, page by page."""
    found: dict[str, StudySummary] = {}
    cursor = None
    while True:
        page = await worklist.page(WorklistFilter(), cursor=cursor, limit=100)
        found |= {study.study_uid: study for study in page.studies}
        if page.complete:
            return found
        cursor = page.next_cursor


async def test_worklist_has_every_study_as_it_was_planned(redis_server: RedisServer, worklist: Worklist) -> None:
    planned = put_studies(redis_server.settings, count=250, sites=_SITES)
    found = await studies_in(worklist)
    assert len(planned) == len(found) == 250
    for plan in planned:
        study = found[plan.study_uid]
        told = (study.outcome, study.overdue, study.priority, study.site, study.films)
        assert told == (plan.outcome, plan.is_late, plan.priority, plan.site, len(plan.films))


async def test_few_studies_are_of_every_outcome_too(redis_server: RedisServer, worklist: Worklist) -> None:
    put_studies(redis_server.settings, count=16)
    found = (await studies_in(worklist)).values()
    assert {(study.outcome, study.priority) for study in found} == {
        (outcome, priority) for outcome in RollUp for priority in ("stat", "routine")
    }
    assert {study.overdue for study in found if study.outcome is RollUp.PENDING} == {True, False}
    assert any(study.outcome is RollUp.NOT_FLAGGED and study.unread for study in found)
