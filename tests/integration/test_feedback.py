"""What settles is counted once, what is drawn stays drawn, and what was said blind stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from model.decision import Decision
from services.jobs import keys
from services.jobs.assessments import MOST_OF_A_STUDY, Assessments, Kept, Said
from services.jobs.blind import SettledStudies
from services.jobs.connection import connect_gateway
from services.jobs.errors import NotBlind, QueueUnavailable, StudyNotFound, StudyNotScored, TooManyAssessments
from services.jobs.ledger.assessed import note_of, read_assessments
from services.jobs.ledger.restore import LedgerReader
from services.jobs.ledger.trail import AuditTrail
from services.jobs.lost_assessments import LostAssessments
from services.jobs.performance import Cell, Reading
from services.jobs.queue import JobQueue
from services.jobs.records import Priority
from services.jobs.standings import Draw, Source, Truth, Verdict
from services.jobs.tallies import KEPT_DAYS, Group, Tallies
from services.jobs.worklist import Worklist, WorklistFilter
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, scored, unread
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)


@dataclass(frozen=True, kw_only=True)
class Site:
    """The parts that a gateway has, and a worker's hands."""

    redis: Redis
    queue: JobQueue
    worklist: Worklist
    settled: SettledStudies
    assessments: Assessments
    tallies: Tallies

    async def decide(self, decision: Decision, **job: object) -> tuple[str, str]:
        """Submit a film and end it so, and count its study; return film and study."""
        wanted = make_job(**job)  # type: ignore[arg-type]  # keyword arguments passed on
        await self.queue.submit(wanted)
        await self.end(decision)
        await self.settled.count_settled()
        return wanted.id, wanted.study_uid

    async def end(self, decision: Decision) -> None:
        (taken,) = await self.queue.take("a", count=1, block_ms=0)
        model = SCORED_BY if decision.outcome.is_scored else None
        assert await self.queue.finish(taken, decision, model=model, timings=TIMINGS)

    async def say(self, study: str, truth: Truth, *, blind: bool = False, who: str | None = "ann") -> Kept:
        verdict = None if blind else Verdict.AGREE
        said = Said(truth=truth, source=Source.READER, is_blind=blind, verdict=verdict)
        return await self.assessments.assess("default", study, said, who=who)

    async def cells(self) -> list[Cell]:
        return [group.cell for group in await self.groups()]

    async def groups(self) -> list[Group]:
        return await self.tallies.groups(["default"], since=None, until=None)

    async def cell(self) -> Cell:
        (cell,) = await self.cells()
        return cell

    async def blind_list(self) -> list[str]:
        page = await self.worklist.page(WorklistFilter(is_blind=True), cursor=None, limit=500)
        return [study.study_uid for study in page.studies]


def parts(redis: Redis, share: float, seed: int = 7) -> Site:
    queue, worklist = JobQueue(redis), Worklist(redis)
    settled = SettledStudies(redis, queue, Draw(seed=seed, share=share))
    return Site(
        redis=redis,
        queue=queue,
        worklist=worklist,
        settled=settled,
        assessments=Assessments(redis, queue, worklist, settled),
        tallies=Tallies(redis),
    )


@pytest.fixture
async def all_drawn(redis_server: RedisServer) -> AsyncIterator[Site]:
    """A site where every study is drawn."""
    async with connect_gateway(redis_server.settings) as redis:
        yield parts(redis, share=1.0)


@pytest.fixture
async def none_drawn(redis_server: RedisServer) -> AsyncIterator[Site]:
    """A site where no study is drawn."""
    async with connect_gateway(redis_server.settings) as redis:
        yield parts(redis, share=0.0)


FLAGGED, NOT_FLAGGED = scored(flagged=True), scored(flagged=False)


# -- counting ----------------------------------------------------------------------------------------------------------
async def test_each_settled_study_is_counted_once_by_model_and_policy(none_drawn: Site) -> None:
    began = datetime.now(UTC).date()
    for decision in (FLAGGED, NOT_FLAGGED, NOT_FLAGGED):
        await none_drawn.decide(decision)
    await none_drawn.settled.count_settled()
    (group,) = await none_drawn.groups()
    assert group.decider.model == SCORED_BY
    assert group.decider.policy is not None
    assert (group.decider.policy.version, group.decider.policy.name) == (0, "screening")
    assert began <= group.first_day <= group.last_day <= datetime.now(UTC).date()
    assert group.cell == Cell(flagged=1, not_flagged=2)


async def test_several_gateways_count_a_study_once(none_drawn: Site) -> None:
    other = parts(none_drawn.redis, share=0.0)
    for _ in range(20):
        await none_drawn.queue.submit(make_job())
        await none_drawn.end(NOT_FLAGGED)
    await asyncio.gather(*(site.settled.count_settled() for site in (none_drawn, other, none_drawn)))
    assert await none_drawn.cell() == Cell(not_flagged=20)
    assert await none_drawn.redis.zcard(keys.SETTLED) == 0


async def test_study_that_is_scored_again_moves_to_its_new_outcome_when_it_has_one(none_drawn: Site) -> None:
    film, _ = await none_drawn.decide(NOT_FLAGGED)
    await none_drawn.queue.rescore(film)
    await none_drawn.settled.count_settled()
    assert await none_drawn.cell() == Cell(not_flagged=1), "until then it counts as what it was"
    await none_drawn.end(FLAGGED)
    await none_drawn.settled.count_settled()
    assert await none_drawn.cell() == Cell(flagged=1)


async def test_second_film_makes_the_study_another_one_not_a_second_one(none_drawn: Site) -> None:
    _, study = await none_drawn.decide(NOT_FLAGGED)
    await none_drawn.decide(FLAGGED, study_uid=study)
    assert await none_drawn.cell() == Cell(flagged=1)


async def test_withdrawn_study_counts_nowhere(none_drawn: Site) -> None:
    film, study = await none_drawn.decide(FLAGGED)
    await none_drawn.say(study, Truth.FINDING)
    await none_drawn.queue.withdraw(film)
    await none_drawn.settled.count_settled()
    assert await none_drawn.cells() == []


async def test_study_that_was_not_assessed_is_counted_beside_the_others(none_drawn: Site) -> None:
    await none_drawn.decide(unread())
    await none_drawn.decide(FLAGGED)
    cells = await none_drawn.cells()
    assert sorted((cell.flagged, cell.not_assessed) for cell in cells) == [(0, 1), (1, 0)]


async def test_damaged_record_keeps_nobody_else_from_being_counted(none_drawn: Site) -> None:
    job = make_job()
    await none_drawn.queue.submit(job)
    await none_drawn.end(FLAGGED)
    await none_drawn.redis.hset(keys.instance(job.id), "result", "{")
    await none_drawn.decide(NOT_FLAGGED)
    assert await none_drawn.cell() == Cell(not_flagged=1)
    assert await none_drawn.redis.zcard(keys.SETTLED) == 0


async def test_study_that_settles_again_while_it_is_counted_is_counted_again(none_drawn: Site) -> None:
    film, study = await none_drawn.decide(NOT_FLAGGED)
    member = f"default|{study}"
    await none_drawn.queue.rescore(film)
    await none_drawn.end(FLAGGED)
    settled_again = await none_drawn.redis.zscore(keys.SETTLED, member)
    assert settled_again is not None
    late = none_drawn.settled._script
    text = await none_drawn.redis.get(keys.standing("default", study))
    args = ["default", study, f"{settled_again - 1:.0f}", text]
    assert await late(keys=[keys.SETTLED], args=args) == 0, "who looked before counts nothing"
    await none_drawn.settled.count_settled()
    assert await none_drawn.cell() == Cell(flagged=1)


# -- the draw ----------------------------------------------------------------------------------------------------------
async def test_flagged_and_other_studies_are_drawn_alike_and_wait_to_be_read(all_drawn: Site) -> None:
    studies = {(await all_drawn.decide(decision))[1] for decision in (FLAGGED, NOT_FLAGGED)}
    await all_drawn.decide(unread())
    assert set(await all_drawn.blind_list()) == studies
    assert await all_drawn.settled.waiting() == {"default": 2}


async def test_study_is_not_drawn_again_where_the_share_is_changed(none_drawn: Site) -> None:
    film, study = await none_drawn.decide(NOT_FLAGGED)
    later = parts(none_drawn.redis, share=1.0)
    await later.queue.rescore(film)
    await later.end(NOT_FLAGGED)
    await later.settled.count_settled()
    assert await later.blind_list() == []
    _, other = await later.decide(NOT_FLAGGED)
    assert await later.blind_list() == [other]
    assert study != other


async def test_drawn_study_stays_in_the_list_until_it_is_read_blind(all_drawn: Site) -> None:
    _, study = await all_drawn.decide(NOT_FLAGGED)
    await all_drawn.say(study, Truth.NO_FINDING)
    assert await all_drawn.blind_list() == [study]
    await all_drawn.say(study, Truth.NO_FINDING, blind=True, who="bob")
    assert await all_drawn.blind_list() == []


async def test_study_that_gets_another_film_after_its_blind_reading_waits_again(all_drawn: Site) -> None:
    _, study = await all_drawn.decide(NOT_FLAGGED)
    await all_drawn.say(study, Truth.NO_FINDING, blind=True)
    await all_drawn.decide(NOT_FLAGGED, study_uid=study)
    assert await all_drawn.blind_list() == [study]
    assert await all_drawn.cell() == Cell(not_flagged=1, drawn=1, outdated=1)


async def test_study_that_is_scored_again_after_its_blind_reading_keeps_it(all_drawn: Site) -> None:
    film, study = await all_drawn.decide(NOT_FLAGGED)
    await all_drawn.say(study, Truth.FINDING, blind=True)
    await all_drawn.queue.rescore(film)
    await all_drawn.end(FLAGGED)
    await all_drawn.settled.count_settled()
    assert await all_drawn.blind_list() == []
    assert await all_drawn.cell() == Cell(flagged=1, of_flagged=(Reading(truth=Truth.FINDING),))


async def test_withdrawn_study_leaves_the_list(all_drawn: Site) -> None:
    film, _ = await all_drawn.decide(NOT_FLAGGED)
    await all_drawn.queue.withdraw(film)
    await all_drawn.settled.count_settled()
    assert await all_drawn.blind_list() == []


async def test_drawn_study_changes_the_worklists_revision(all_drawn: Site) -> None:
    await all_drawn.queue.submit(make_job())
    await all_drawn.end(NOT_FLAGGED)
    before = await all_drawn.worklist.revision()
    await all_drawn.settled.count_settled()
    assert await all_drawn.worklist.revision() != before


async def test_blind_list_pages_stat_first_and_then_the_oldest(all_drawn: Site) -> None:
    wanted = []
    for priority, age_ms in ((Priority.ROUTINE, 3), (Priority.ROUTINE, 9), (Priority.STAT, 1)):
        _, study = await all_drawn.decide(NOT_FLAGGED, priority=priority, submitted_ms=10**12 - age_ms)
        wanted.append(study)
    seen, cursor = [], None
    while True:
        page = await all_drawn.worklist.page(WorklistFilter(is_blind=True), cursor=cursor, limit=1)
        seen += [study.study_uid for study in page.studies]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [wanted[2], wanted[1], wanted[0]]


# -- assessments -------------------------------------------------------------------------------------------------------
async def test_assessment_keeps_what_had_been_decided(none_drawn: Site) -> None:
    film, study = await none_drawn.decide(FLAGGED)
    kept = (await none_drawn.say(study, Truth.NO_FINDING)).assessment
    assert (kept.instance_id, kept.outcome, kept.probability) == (film, "flagged", 0.9)
    assert (kept.model, kept.policy.name) == (SCORED_BY, "screening")


async def test_repeated_assessment_is_one_and_another_one_is_another(none_drawn: Site) -> None:
    _, study = await none_drawn.decide(FLAGGED)
    first = await none_drawn.say(study, Truth.NO_FINDING)
    again = await none_drawn.say(study, Truth.NO_FINDING)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.assessment == first.assessment
    for truth in (Truth.FINDING, Truth.NO_FINDING):
        assert (await none_drawn.say(study, truth)).is_new, "who changes their mind twice has said three things"
    assert (await none_drawn.say(study, Truth.NO_FINDING, who="bob")).is_new
    assert len((await none_drawn.assessments.of_study("default", study)).assessments) == 4
    assert (await none_drawn.cell()).of_flagged == (Reading(truth=Truth.NO_FINDING),)


async def test_last_word_counts_where_nobody_has_read_blind(none_drawn: Site) -> None:
    _, study = await none_drawn.decide(FLAGGED)
    await none_drawn.say(study, Truth.NO_FINDING)
    await none_drawn.say(study, Truth.FINDING, who="bob")
    assert (await none_drawn.cell()).of_flagged == (Reading(truth=Truth.FINDING),)


@pytest.mark.parametrize("decision", [FLAGGED, NOT_FLAGGED])
async def test_what_was_said_blind_stands_whoever_comes_later(all_drawn: Site, decision: Decision) -> None:
    _, study = await all_drawn.decide(decision)
    await all_drawn.say(study, Truth.NO_FINDING, blind=True)
    for who in ("ann", "bob"):
        await all_drawn.say(study, Truth.FINDING, who=who)
    cell = await all_drawn.cell()
    assert [reading.truth for reading in (*cell.of_flagged, *cell.blind)] == [Truth.NO_FINDING]
    assert cell.volunteered == 0
    counting = (await all_drawn.assessments.of_study("default", study)).counting
    assert counting is not None
    assert counting.blind


async def test_second_blind_reading_is_refused(all_drawn: Site) -> None:
    _, study = await all_drawn.decide(NOT_FLAGGED)
    first = await all_drawn.say(study, Truth.NO_FINDING, blind=True)
    again = await all_drawn.say(study, Truth.NO_FINDING, blind=True)
    assert again.assessment == first.assessment, "a repeated one is the same"
    for who, truth in (("ann", Truth.FINDING), ("bob", Truth.NO_FINDING)):
        with pytest.raises(NotBlind):
            await all_drawn.say(study, truth, blind=True, who=who)


async def test_who_has_seen_the_outcome_does_not_read_blind(all_drawn: Site) -> None:
    _, study = await all_drawn.decide(NOT_FLAGGED)
    await all_drawn.say(study, Truth.FINDING)
    with pytest.raises(NotBlind):
        await all_drawn.say(study, Truth.FINDING, blind=True)
    assert (await all_drawn.say(study, Truth.FINDING, blind=True, who="bob")).is_new


async def test_study_that_was_not_drawn_is_not_read_blind_and_volunteers_are_not_weighed(none_drawn: Site) -> None:
    _, study = await none_drawn.decide(NOT_FLAGGED)
    with pytest.raises(NotBlind):
        await none_drawn.say(study, Truth.FINDING, blind=True)
    await none_drawn.say(study, Truth.FINDING)
    assert await none_drawn.cell() == Cell(not_flagged=1, volunteered=1)


async def test_blind_reading_keeps_the_probability_of_its_draw(none_drawn: Site) -> None:
    site = parts(none_drawn.redis, share=0.5)
    drawn: list[str] = []
    while not drawn:
        await site.decide(NOT_FLAGGED)
        drawn = await site.blind_list()
    later = parts(none_drawn.redis, share=0.1)
    await later.say(drawn[0], Truth.FINDING, blind=True)
    assert (await later.cell()).blind == (Reading(truth=Truth.FINDING, share=0.5),)


@pytest.mark.parametrize(
    ("truth", "decision", "verdict"),
    [
        (Truth.FINDING, FLAGGED, Verdict.AGREE),
        (Truth.FINDING, NOT_FLAGGED, Verdict.DISAGREE),
        (Truth.NO_FINDING, FLAGGED, Verdict.DISAGREE),
        (Truth.NO_FINDING, NOT_FLAGGED, Verdict.AGREE),
        (Truth.UNCERTAIN, FLAGGED, None),
    ],
)
async def test_verdict_of_a_blind_reading_follows_from_its_truth(
    all_drawn: Site, truth: Truth, decision: Decision, verdict: Verdict | None
) -> None:
    _, study = await all_drawn.decide(decision)
    assert (await all_drawn.say(study, truth, blind=True)).assessment.verdict is verdict


async def test_open_and_unread_and_unknown_studies_cannot_be_assessed(none_drawn: Site) -> None:
    film, study = await none_drawn.decide(FLAGGED)
    _, other = await none_drawn.decide(unread())
    with pytest.raises(StudyNotScored):
        await none_drawn.say(other, Truth.FINDING)
    await none_drawn.queue.rescore(film)
    with pytest.raises(StudyNotScored):
        await none_drawn.say(study, Truth.FINDING)
    with pytest.raises(StudyNotFound):
        await none_drawn.say("1.2.3", Truth.FINDING)
    assert await none_drawn.redis.hgetall(keys.truths("default")) == {}


async def test_study_of_a_version_that_did_not_count_is_assessed_and_counts_when_it_settles_again(
    all_drawn: Site,
) -> None:
    await all_drawn.queue.submit(job := make_job())
    await all_drawn.end(FLAGGED)
    await all_drawn.redis.delete(keys.SETTLED)
    await all_drawn.say(job.study_uid, Truth.FINDING)
    assert await all_drawn.cell() == Cell(outdated=1), "readers ask for what is flagged: nothing else would be counted"
    assert await all_drawn.blind_list() == []
    await all_drawn.queue.rescore(job.id)
    await all_drawn.end(FLAGGED)
    await all_drawn.settled.count_settled()
    assert await all_drawn.cell() == Cell(flagged=1, of_flagged=(Reading(truth=Truth.FINDING),))
    assert await all_drawn.blind_list() == [job.study_uid]


async def test_counts_and_readings_of_a_site_that_is_no_more_expire(none_drawn: Site) -> None:
    _, study = await none_drawn.decide(FLAGGED)
    await none_drawn.say(study, Truth.FINDING)
    longest = KEPT_DAYS * 86_400
    for key in (keys.tally("default"), keys.truths("default"), keys.assessments("default", study)):
        assert longest - 3600 < await none_drawn.redis.ttl(key) <= longest, key


async def test_settled_studies_that_no_gateway_takes_do_not_fill_redis(none_drawn: Site) -> None:
    for first in range(1, 200_001, 10_000):  # not at once: a script that takes long has everybody answered BUSY
        await none_drawn.redis.zadd(keys.SETTLED, {str(at): at for at in range(first, first + 10_000)})
    await none_drawn.queue.submit(job := make_job())
    await none_drawn.end(FLAGGED)
    assert await none_drawn.redis.zcard(keys.SETTLED) == 200_000
    assert await none_drawn.redis.zscore(keys.SETTLED, "1") is None, "the oldest has gone"
    assert await none_drawn.redis.zscore(keys.SETTLED, f"default|{job.study_uid}") is not None


async def test_study_takes_so_many_assessments_and_no_more(none_drawn: Site) -> None:
    _, study = await none_drawn.decide(FLAGGED)
    for number in range(MOST_OF_A_STUDY):
        await none_drawn.say(study, Truth.FINDING, who=f"reader {number}")
    with pytest.raises(TooManyAssessments):
        await none_drawn.say(study, Truth.FINDING, who="one more")


# -- what time and losses take -----------------------------------------------------------------------------------------
async def test_days_are_chosen_and_old_ones_forgotten(none_drawn: Site) -> None:
    _, study = await none_drawn.decide(FLAGGED)
    await none_drawn.say(study, Truth.FINDING)

    async def between(since: date | None, until: date | None) -> int:
        groups = await none_drawn.tallies.groups(None, since=since, until=until)
        return sum(group.cell.flagged for group in groups)

    (group,) = await none_drawn.groups()
    day = group.last_day
    assert await between(day, day) == 1
    assert await between(day + timedelta(days=1), None) == await between(None, day - timedelta(days=1)) == 0
    assert await none_drawn.tallies.forget_old() == 0
    assert await none_drawn.tallies.forget_old(day + timedelta(days=KEPT_DAYS + 1)) > 0
    assert await none_drawn.cells() == []
    assert await none_drawn.redis.hgetall(keys.truths("default")) == {}


async def test_readings_of_one_millisecond_come_back_in_the_order_of_their_chain(
    all_drawn: Site, tmp_path: Path
) -> None:
    _, study = await all_drawn.decide(NOT_FLAGGED)
    kept = await all_drawn.say(study, Truth.FINDING, blind=True)
    ids = ["c", "a", "b"]  # random in truth
    trail = AuditTrail(tmp_path, "api")
    trail.start()
    for one in ids:
        trail.note_facts(note_of(kept.assessment.model_copy(update={"id": one}), kept.standing, address="10.0.0.1"))
    trail.close()
    assert [assessment.id for assessment, _ in read_assessments(tmp_path, None, since_ms=0)] == ids


async def test_assessments_come_back_from_the_trail_after_redis_lost_everything(
    all_drawn: Site, tmp_path: Path
) -> None:
    _, study = await all_drawn.decide(NOT_FLAGGED)
    trail = AuditTrail(tmp_path, "api")
    trail.start()
    for kept in (
        await all_drawn.say(study, Truth.FINDING, blind=True),
        await all_drawn.say(study, Truth.NO_FINDING, who="bob"),
    ):
        trail.note_facts(note_of(kept.assessment, kept.standing, address="10.0.0.1"))
    before = await all_drawn.assessments.of_study("default", study)
    trail.close()
    await all_drawn.redis.flushall()
    reader = LedgerReader(all_drawn.redis, trail)
    for _ in range(2):
        await reader.restore_assessments()
    assert await LostAssessments(all_drawn.redis).is_known()
    assert await all_drawn.redis.lrange(keys.assessments("default", study), 0, -1) == [
        assessment.text() for assessment in before.assessments
    ]
    (group,) = await all_drawn.groups()
    assert group.cell == Cell(outdated=1), "its study is not there, and readings without a count say nothing"


async def test_restored_study_counts_with_its_restored_reading(all_drawn: Site) -> None:
    job = make_job(number=1)
    await all_drawn.queue.submit(job)
    await all_drawn.end(NOT_FLAGGED)
    kept = await all_drawn.say(job.study_uid, Truth.FINDING, blind=True)
    standing, _ = await all_drawn.settled.standing("default", job.study_uid)
    assert standing is not None
    await all_drawn.redis.flushall()
    await LostAssessments(all_drawn.redis).give_back([(kept.assessment, standing)])
    later = parts(all_drawn.redis, share=0.1, seed=8)
    await later.queue.submit(job)
    await later.end(NOT_FLAGGED)
    await later.settled.count_settled()
    assert await later.cell() == Cell(not_flagged=1, drawn=1, blind=(Reading(truth=Truth.FINDING, share=1.0),))
    assert await later.blind_list() == []


async def test_redis_out_of_memory_still_counts_what_ended(mortal_redis_server: RedisServer) -> None:
    async with connect_gateway(mortal_redis_server.settings) as redis:
        site = parts(redis, share=1.0)
        await site.queue.submit(make_job())
        (taken,) = await site.queue.take("a", count=1, block_ms=0)
        await redis.config_set("maxmemory", "1")
        assert await site.queue.finish(taken, NOT_FLAGGED, model=SCORED_BY, timings=TIMINGS)
        await site.settled.count_settled()
        assert await site.cell() == Cell(not_flagged=1, drawn=1)
        names = set(await redis.keys("*"))
        with pytest.raises(QueueUnavailable):
            await site.say(taken.job.study_uid, Truth.FINDING, blind=True)
        assert set(await redis.keys("*")) == names, "what brings something new is refused whole"
