"""The worklist shows every study in the order in which it should be read."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from model.decision import Decision, Outcome
from model.errors import Reason
from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.errors import RecordCorrupt, StudyNotFound
from services.jobs.queue import JobQueue, QueueLimits
from services.jobs.queue.scripted import PAGE
from services.jobs.records import Priority, TakenJob, moment
from services.jobs.worklist import RollUp, StudySummary, Worklist, WorklistFilter
from tests.support.jobs import SCORED_BY, TIMINGS, lateral, make_job, now_ms, scored, unread
from tests.support.queue_steps import backdate, deadline
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)

ALL = WorklistFilter()
SCORED_CLEAR, SCORED_FLAGGED = scored(flagged=False), scored(flagged=True)


async def submit(queue: JobQueue, study_uid: str, **job: object) -> TakenJob:
    """Submit one film of a study and take it."""
    await queue.submit(make_job(study_uid=study_uid, **job))  # type: ignore[arg-type]  # keyword arguments passed on
    (taken,) = await queue.take("a", count=1, block_ms=0)
    return taken


async def finish(queue: JobQueue, taken: TakenJob, decision: Decision) -> None:
    scored_by = SCORED_BY if decision.outcome.is_scored else None
    assert await queue.finish(taken, decision, model=scored_by, timings=TIMINGS)


async def walk(worklist: Worklist, wanted: WorklistFilter = ALL, *, limit: int = 500) -> list[StudySummary]:
    """Return the concatenation of all pages."""
    studies: list[StudySummary] = []
    cursor = None
    while True:
        page = await worklist.page(wanted, cursor=cursor, limit=limit)
        assert len(page.studies) <= limit
        assert page.complete == (page.next_cursor is None)
        studies += page.studies
        if page.complete:
            return studies
        assert len(page.studies) == limit
        cursor = page.next_cursor


# -- roll-up -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("decisions", "still_open", "expected", "unread_films"),
    [
        ([], 1, RollUp.PENDING, 0),
        ([SCORED_CLEAR], 0, RollUp.NOT_FLAGGED, 0),
        ([SCORED_CLEAR], 1, RollUp.PENDING, 0),
        ([SCORED_FLAGGED], 1, RollUp.FLAGGED, 0),
        ([SCORED_FLAGGED, SCORED_CLEAR, unread()], 0, RollUp.FLAGGED, 1),
        ([SCORED_CLEAR, unread()], 0, RollUp.NOT_ASSESSED, 1),
        ([SCORED_CLEAR, unread()], 1, RollUp.NOT_ASSESSED, 1),
        ([lateral()], 0, RollUp.NOT_ASSESSED, 1),
        ([lateral()], 1, RollUp.NOT_ASSESSED, 1),
        ([lateral(), SCORED_CLEAR], 0, RollUp.NOT_FLAGGED, 1),
        ([SCORED_CLEAR, lateral()], 1, RollUp.PENDING, 1),
        ([SCORED_FLAGGED, lateral()], 0, RollUp.FLAGGED, 1),
        ([SCORED_CLEAR, lateral(), unread(Reason.BLANK)], 0, RollUp.NOT_ASSESSED, 2),
        ([SCORED_CLEAR, unread(Reason.VIEW)], 0, RollUp.NOT_ASSESSED, 1),
        ([SCORED_CLEAR, lateral(), unread(Reason.VIEW)], 0, RollUp.NOT_ASSESSED, 2),
        ([SCORED_CLEAR, unread(Reason.WITHDRAWN)], 0, RollUp.NOT_FLAGGED, 0),
        ([SCORED_FLAGGED, unread(Reason.WITHDRAWN)], 0, RollUp.FLAGGED, 0),
    ],
)
async def test_study_amounts_to_its_most_urgent_film(
    queue: JobQueue,
    worklist: Worklist,
    decisions: list[Decision],
    still_open: int,
    expected: RollUp,
    unread_films: int,
) -> None:
    for decision in decisions:
        await finish(queue, await submit(queue, "1.2.3"), decision)
    for _ in range(still_open):
        await submit(queue, "1.2.3")
    study, films = await worklist.study("default", "1.2.3")
    assert study.outcome is expected
    assert (study.pending, study.unread) == (still_open, unread_films)
    withdrawn = sum(decision.reason is Reason.WITHDRAWN for decision in decisions)
    assert study.films == len(films) == len(decisions) + still_open - withdrawn
    assert await walk(worklist) == [study]


async def test_study_is_stat_if_any_film_is_and_as_old_as_its_oldest(queue: JobQueue, worklist: Worklist) -> None:
    oldest = now_ms() - 50_000
    await submit(queue, "1.2.3", submitted_ms=oldest + 10_000)
    await submit(queue, "1.2.3", submitted_ms=oldest, priority=Priority.STAT)
    await submit(queue, "1.2.3", submitted_ms=oldest + 20_000)
    (study,) = await walk(worklist)
    assert study.priority is Priority.STAT
    assert study.submitted_at == moment(oldest)


async def test_study_whose_films_were_all_withdrawn_leaves_the_list(queue: JobQueue, worklist: Worklist) -> None:
    await finish(queue, await submit(queue, "1.2.3"), unread(Reason.WITHDRAWN))
    assert await walk(worklist) == []
    with pytest.raises(StudyNotFound):
        await worklist.study("default", "1.2.3")


async def test_film_past_its_deadline_makes_its_study_not_assessed(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    taken = await submit(queue, "1.2.3", submitted_ms=now_ms() - 10_000)
    await backdate(redis_client, taken.job.id, seconds=10)
    await queue.expire(deadline(1))
    (study,) = await walk(worklist)
    assert study.outcome is RollUp.NOT_ASSESSED


async def test_same_study_uid_at_two_sites_is_two_studies(queue: JobQueue, worklist: Worklist) -> None:
    await finish(queue, await submit(queue, "1.2.3", site="north"), SCORED_FLAGGED)
    await submit(queue, "1.2.3", site="south")
    assert [(study.site, study.outcome) for study in await walk(worklist)] == [
        ("north", RollUp.FLAGGED),
        ("south", RollUp.PENDING),
    ]
    (south,) = await walk(worklist, WorklistFilter(sites=("south",)))
    assert south.films == 1
    assert await walk(worklist, WorklistFilter(sites=())) == []


# -- overdue -----------------------------------------------------------------------------------------------------------
async def test_overdue_study_ranks_with_the_unread_ones_by_age(queue: JobQueue, worklist: Worklist) -> None:
    now = now_ms()
    await finish(queue, await submit(queue, "older", submitted_ms=now - 2_000_000), unread())
    await submit(queue, "overdue", submitted_ms=now - 1_500_000)
    await finish(queue, await submit(queue, "younger", submitted_ms=now - 1_200_000), unread())
    await submit(queue, "waiting", submitted_ms=now - 600_000)
    await finish(queue, await submit(queue, "clear", submitted_ms=now - 3_000_000), SCORED_CLEAR)
    await finish(queue, await submit(queue, "flagged", submitted_ms=now), SCORED_FLAGGED)
    studies = await walk(worklist, limit=2)
    assert [study.study_uid for study in studies] == ["flagged", "older", "overdue", "younger", "waiting", "clear"]
    assert [study.study_uid for study in studies if study.overdue] == ["overdue"]
    assert studies[2].outcome is RollUp.PENDING


# -- revision ----------------------------------------------------------------------------------------------------------
async def test_revision_changes_with_every_visible_change_and_only_then(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    seen = [await worklist.revision()]
    taken = await submit(queue, "1.2.3")
    seen.append(await worklist.revision())
    assert await worklist.revision() == seen[-1]
    await finish(queue, taken, SCORED_CLEAR)
    seen.append(await worklist.revision())
    await redis_client.flushall()
    await submit(queue, "1.2.3")
    seen.append(await worklist.revision())
    assert len(set(seen)) == 4, "also after Redis lost everything no revision comes again"


async def test_revision_that_was_lost_with_the_end_of_the_append_only_file_does_not_come_again(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    await submit(queue, "1.2.3")
    kept = await redis_client.get(keys.REVISION)
    assert kept is not None
    lost: list[str] = []
    for _ in range(3):
        await submit(queue, "1.2.3")
        lost.append(await worklist.revision())
    await redis_client.set(keys.REVISION, kept)
    for _ in range(5):
        await submit(queue, "1.2.3")
        assert await worklist.revision() not in lost, "somebody may have kept a page of it"


@pytest.mark.parametrize("beside", [None, SCORED_FLAGGED, unread()])
async def test_revision_changes_when_a_study_becomes_overdue(
    queue: JobQueue, redis_client: Redis, beside: Decision | None
) -> None:
    await submit(queue, "1.2.3", submitted_ms=now_ms() - 60_000)
    if beside is not None:
        await finish(queue, await submit(queue, "1.2.3"), beside)
    # A shorter limit stands in for time that passes.
    before, after = (
        Worklist(redis_client, limits=QueueLimits(overdue_routine_seconds=seconds)) for seconds in (120, 30)
    )
    assert await before.revision() == await before.revision() != await after.revision()
    assert [(await walk(worklist))[0].overdue for worklist in (before, after)] == [False, True]


# -- pages -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "e30", "bnVsbA", "💥", "eyJhIjoxfQ=="])
async def test_cursor_that_is_not_ours_is_refused(worklist: Worklist, cursor: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        await worklist.page(ALL, cursor=cursor, limit=10)


async def test_cursor_beyond_the_order_is_refused_rather_than_answered_with_nothing(
    queue: JobQueue, worklist: Worklist
) -> None:
    for number in range(2):
        await queue.submit(make_job(study_uid=f"1.2.{number}"))
    cursor = (await worklist.page(ALL, cursor=None, limit=1)).next_cursor
    assert cursor is not None
    position = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    for forged in ({"segment": 9}, {"segment": 0}, {"submitted_ms": -1}, {"as_of_ms": 2**60}):
        text = base64.urlsafe_b64encode(json.dumps(position | forged).encode()).decode()
        with pytest.raises(ValueError, match="not a cursor"):
            await worklist.page(ALL, cursor=text, limit=1)


@pytest.mark.parametrize("limit", [0, -1, 501])
async def test_page_size_out_of_range_is_refused(worklist: Worklist, limit: int) -> None:
    with pytest.raises(ValueError, match="1 to 500"):
        await worklist.page(ALL, cursor=None, limit=limit)


async def test_studies_of_one_millisecond_are_paged_without_loss(queue: JobQueue, worklist: Worklist) -> None:
    now = now_ms()
    for number in range(25):
        await queue.submit(make_job(study_uid=f"1.2.{number}", submitted_ms=now))
    studies = await walk(worklist, limit=3)
    assert [study.study_uid for study in studies] == sorted(f"1.2.{number}" for number in range(25))


async def test_unknown_study_is_not_found(worklist: Worklist) -> None:
    with pytest.raises(StudyNotFound):
        await worklist.study("default", "1.2.3")


async def test_damaged_study_is_an_error_and_never_left_out(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    await submit(queue, "1.2.3")
    await redis_client.hset(keys.study("default", "1.2.3"), "class", "healthy")
    with pytest.raises(RecordCorrupt):
        await worklist.page(ALL, cursor=None, limit=10)


async def test_expired_study_leaves_the_list_and_then_the_index(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    old = now_ms() - 40 * 86_400_000
    await finish(queue, await submit(queue, "expired", submitted_ms=old), SCORED_CLEAR)
    await finish(queue, await submit(queue, "kept", submitted_ms=old), SCORED_CLEAR)
    assert await redis_client.ttl(keys.study("default", "expired")) > 31 * 86_400
    await redis_client.delete(keys.study("default", "expired"), keys.study_members("default", "expired"))
    assert [study.study_uid for study in await walk(worklist, limit=1)] == ["kept"]
    await queue.reconcile()
    index = keys.worklist("default", Priority.ROUTINE, RollUp.NOT_FLAGGED)
    assert await redis_client.zrange(index, 0, -1) == ["kept"]


async def test_expired_study_leaves_the_index_behind_any_number_that_live_on(
    queue: JobQueue, redis_client: Redis
) -> None:
    index = keys.worklist("default", Priority.ROUTINE, RollUp.NOT_FLAGGED)
    pipe = redis_client.pipeline()
    pipe.sadd(keys.SITES, "default")
    for number in range(PAGE):
        pipe.zadd(index, {f"1.2.{number}": number})
        pipe.hset(keys.study("default", f"1.2.{number}"), "site", "default")
    pipe.zadd(index, {"expired": PAGE})
    await pipe.execute()
    for _ in range(200):  # each draws where it looks; all but one in 2^200 runs of this test see it
        await queue.reconcile()
        if await redis_client.zscore(index, "expired") is None:
            break
    assert await redis_client.zcard(index) == PAGE


async def test_site_without_studies_is_looked_at_no_more_until_it_sends_again(
    queue: JobQueue, worklist: Worklist, redis_client: Redis
) -> None:
    await finish(queue, await submit(queue, "1.2.3", site="once"), unread(Reason.WITHDRAWN))
    await finish(queue, await submit(queue, "1.2.3", site="scored"), SCORED_CLEAR)
    await queue.submit(make_job(site="waiting"))
    await queue.reconcile()
    assert await redis_client.smembers(keys.SITES) == {"scored", "waiting"}
    await submit(queue, "1.2.4", site="once")
    assert {study.site for study in await walk(worklist)} == {"once", "scored", "waiting"}


async def test_study_with_an_open_film_never_expires(queue: JobQueue, redis_client: Redis) -> None:
    await finish(queue, await submit(queue, "1.2.3"), SCORED_CLEAR)
    await submit(queue, "1.2.3")
    assert await redis_client.ttl(keys.study("default", "1.2.3")) == -1
    assert await redis_client.ttl(keys.study_members("default", "1.2.3")) == -1


# -- the order, against a naive model ----------------------------------------------------------------------------------
DECISIONS = (SCORED_FLAGGED, SCORED_CLEAR, unread(), lateral(), unread(Reason.VIEW), unread(Reason.WITHDRAWN), None)


@dataclass
class NaiveStudy:
    """The roll-up as DESIGN §6 words it, over plain lists."""

    site: str
    study_uid: str
    films: list[tuple[Priority, int, Decision | None]] = field(default_factory=list)

    @property
    def counted(self) -> list[tuple[Priority, int, Decision | None]]:
        return [film for film in self.films if film[2] is None or film[2].reason is not Reason.WITHDRAWN]

    @property
    def outcome(self) -> RollUp:
        decisions = [decision for _, _, decision in self.counted]
        outcomes = [decision.outcome for decision in decisions if decision]
        unread_films = [decision for decision in decisions if decision and decision.reason]
        if Outcome.FLAGGED in outcomes:
            return RollUp.FLAGGED
        has_scored_frontal = Outcome.NOT_FLAGGED in outcomes
        if any(not decision.is_lateral or not has_scored_frontal for decision in unread_films):
            return RollUp.NOT_ASSESSED
        return RollUp.PENDING if None in decisions else RollUp.NOT_FLAGGED

    @property
    def priority(self) -> Priority:
        return Priority.STAT if any(film[0] is Priority.STAT for film in self.counted) else Priority.ROUTINE

    @property
    def submitted_ms(self) -> int:
        return min(film[1] for film in self.counted)

    def is_overdue(self, now: int) -> bool:
        limit_ms = 120_000 if self.priority is Priority.STAT else 900_000
        return any(film[2] is None for film in self.counted) and now - self.submitted_ms > limit_ms

    def sort_key(self, now: int) -> tuple[object, ...]:
        rank = {RollUp.FLAGGED: 0, RollUp.NOT_ASSESSED: 1, RollUp.PENDING: 2, RollUp.NOT_FLAGGED: 3}[self.outcome]
        if self.outcome is RollUp.PENDING and self.is_overdue(now):
            rank = 1
        return (self.priority is not Priority.STAT, rank, self.submitted_ms, self.study_uid, self.site)


# Ages stay clear of the limits, so that no study becomes overdue while the example runs.
AGES_SECONDS = st.sampled_from([0, 1, 2, 60, 300, 301, 600, 2000, 2001, 5000])
FILMS = st.lists(
    st.tuples(
        st.sampled_from(["north", "south"]),
        st.sampled_from(["1.1", "1.2", "1.3", "1.4", "1.5"]),
        st.sampled_from(list(Priority)),
        AGES_SECONDS,
        st.sampled_from(DECISIONS),
    ),
    max_size=16,
)
FILTERS = st.builds(
    WorklistFilter,
    sites=st.sampled_from([None, ("north",), ("south", "north"), ("elsewhere",)]),
    outcome=st.sampled_from([None, *RollUp]),
    priority=st.sampled_from([None, *Priority]),
    since=st.sampled_from([None, 30, 450, 1000]).map(
        lambda age: None if age is None else datetime.now(tz=UTC) - timedelta(seconds=age)
    ),
)


@settings(max_examples=40, deadline=None)
@given(films=FILMS, wanted=st.one_of(st.just(ALL), FILTERS), limit=st.integers(1, 4))
def test_pages_concatenated_are_the_sorted_list(
    shared_redis_server: RedisServer,
    films: list[tuple[str, str, Priority, int, Decision | None]],
    wanted: WorklistFilter,
    limit: int,
) -> None:
    with shared_redis_server.client() as client:
        client.flushall()
    asyncio.run(compare_with_the_naive_model(shared_redis_server, films, wanted, limit))


async def compare_with_the_naive_model(
    server: RedisServer,
    films: list[tuple[str, str, Priority, int, Decision | None]],
    wanted: WorklistFilter,
    limit: int,
) -> None:
    now = now_ms()
    naive: dict[tuple[str, str], NaiveStudy] = {}
    async with connect_gateway(server.settings) as client:
        queue = JobQueue(client)
        for site, study_uid, priority, age_seconds, decision in films:
            submitted_ms = now - 1000 * age_seconds
            taken = await submit(queue, study_uid, site=site, priority=priority, submitted_ms=submitted_ms)
            if decision is not None:
                await finish(queue, taken, decision)
            study = naive.setdefault((site, study_uid), NaiveStudy(site, study_uid))
            study.films.append((priority, submitted_ms, decision))
        shown = await walk(Worklist(client), wanted, limit=limit)
    expected = sorted(
        (study for study in naive.values() if study.counted and is_wanted(study, wanted)),
        key=lambda study: study.sort_key(now),
    )
    assert [(line.site, line.study_uid, line.outcome, line.priority, line.overdue, line.films) for line in shown] == [
        (study.site, study.study_uid, study.outcome, study.priority, study.is_overdue(now), len(study.counted))
        for study in expected
    ]


def is_wanted(study: NaiveStudy, wanted: WorklistFilter) -> bool:
    return (
        (wanted.sites is None or study.site in wanted.sites)
        and wanted.outcome in (None, study.outcome)
        and wanted.priority in (None, study.priority)
        and (wanted.since is None or moment(study.submitted_ms) >= wanted.since)
    )
