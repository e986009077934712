"""What is stored of a film becomes a record, or an error; never something in between."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.decision import Decision, Finding, Outcome, Policy
from model.decoding.header import ImageFormat
from model.errors import Reason
from services.jobs.errors import RecordCorrupt
from services.jobs.limits import QueueLimits
from services.jobs.records import Claims, Job, JobState, Picture, Priority, Timings
from services.jobs.stored import dump_job, load_job, past_decision_of, record_of, result_of
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, scored, unread

LIMITS = QueueLimits()
JOBS = st.builds(
    Job,
    id=st.text("0123456789abcdef", min_size=32, max_size=32),
    site=st.text("abc-", min_size=1),
    priority=st.sampled_from(Priority),
    study_uid=st.text("0123456789.", min_size=1, max_size=64),
    sop_instance_uid=st.none() | st.text("0123456789.", min_size=1, max_size=64),
    image_format=st.sampled_from(ImageFormat),
    payload=st.text("0123456789abcdef.", min_size=1),
    payload_bytes=st.integers(0, 2**40),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    submitted_ms=st.integers(0, 2**42),
    claims=st.builds(
        Claims,
        view=st.none() | st.text(),
        age_years=st.none() | st.floats(0, 130),
        sex=st.none() | st.sampled_from(["F", "M", "O"]),
    ),
)


@given(JOBS)
def test_job_survives_its_sidecar(job: Job) -> None:
    assert load_job(dump_job(job)) == job


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "\x00", dump_job(make_job()).replace("routine", "urgent")])
def test_job_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(RecordCorrupt):
        load_job(text)


def done(decision: Decision, *, scored_by_model: bool) -> list[str | None]:
    result = result_of(decision, scored_by=SCORED_BY if scored_by_model else None, timings=TIMINGS)
    return [dump_job(make_job(submitted_ms=1000)), "done", "1", "2000", "3000", result.model_dump_json()]


def test_record_of_a_scored_film_says_what_decided_it() -> None:
    policy = Policy(site="north", version=3, name="screening", threshold=0.25, model_digest=SCORED_BY.digest)
    decision = Decision(
        outcome=Outcome.FLAGGED,
        probability=0.1 + 0.2,
        threshold=0.25,
        policy=policy,
        findings=(Finding(label="effusion", probability=1 / 3),),
    )
    record = record_of(done(decision, scored_by_model=True), now_ms=10**9, limits=LIMITS)
    assert record.probability == 0.1 + 0.2, "bit for bit"
    assert record.findings is not None
    assert record.findings[0].probability == 1 / 3
    assert record.policy is not None
    assert (record.policy.site, record.policy.version, record.policy.name) == ("north", 3, "screening")
    assert record.done_at is not None
    assert record.done_at.timestamp() == 3.0
    assert not record.overdue


def test_record_of_an_unread_film_has_no_score() -> None:
    record = record_of(done(unread(Reason.AGE), scored_by_model=False), now_ms=10**9, limits=LIMITS)
    assert (record.outcome, record.reason) == (Outcome.NOT_ASSESSED, Reason.AGE)
    assert record.probability is record.threshold is record.policy is record.findings is record.model is None


def test_result_from_before_there_were_pictures_is_a_record_without_them() -> None:
    fields = done(scored(flagged=True), scored_by_model=True)
    assert fields[5] is not None
    old = fields[5].replace(',"pictures":[]', "")
    assert old != fields[5]
    record = record_of([*fields[:5], old], now_ms=10**9, limits=LIMITS)
    assert record.outcome is Outcome.FLAGGED
    assert (record.links.preview, record.links.heatmap) == (None, None)


@pytest.mark.parametrize(
    ("image_format", "decision", "pictures", "named"),
    [
        (ImageFormat.DICOM, scored(flagged=True), tuple(Picture), {"report", "overlay"}),
        (ImageFormat.DICOM, scored(flagged=True), (), {"report"}),
        (ImageFormat.DICOM, unread(), (Picture.PREVIEW,), {"report"}),
        (ImageFormat.DICOM, None, (), set()),
        (ImageFormat.PNG, scored(flagged=True), tuple(Picture), set()),
    ],
)
def test_results_are_named_of_dicom_films_that_are_done(
    image_format: ImageFormat, decision: Decision | None, pictures: tuple[Picture, ...], named: set[str]
) -> None:
    job = dump_job(replace(make_job(submitted_ms=1000), image_format=image_format))
    fields: list[str | None] = [job, "running", "1", "2000", None, None]
    if decision is not None:
        model = SCORED_BY if decision.outcome.is_scored else None
        result = result_of(decision, scored_by=model, timings=TIMINGS, pictures=pictures)
        fields = [job, "done", "1", "2000", "3000", result.model_dump_json()]
    links = record_of(fields, now_ms=10**9, limits=LIMITS).links
    assert {name for name in ("report", "overlay") if getattr(links, name) == f"{links.self}/{name}.dcm"} == named


@pytest.mark.parametrize("state", ["queued", "running"])
def test_open_state_beside_a_result_is_an_error(state: str) -> None:
    fields = done(scored(flagged=False), scored_by_model=True)
    fields[1] = state
    with pytest.raises(RecordCorrupt):
        record_of(fields, now_ms=0, limits=LIMITS)


@pytest.mark.parametrize("missing", [0, 1, 2, 5])
def test_done_record_with_a_missing_field_is_an_error(missing: int) -> None:
    fields = done(scored(flagged=False), scored_by_model=True)
    fields[missing] = None
    with pytest.raises(RecordCorrupt):
        record_of(fields, now_ms=0, limits=LIMITS)


def test_result_with_a_score_that_is_no_number_is_an_error() -> None:
    fields = done(scored(flagged=False), scored_by_model=True)
    assert fields[5] is not None
    for value in ("NaN", "Infinity", "null", '"0.1x"'):
        damaged = [*fields[:5], fields[5].replace('"probability":0.1', f'"probability":{value}')]
        assert damaged != fields
        with pytest.raises(RecordCorrupt):
            record_of(damaged, now_ms=0, limits=LIMITS)


def test_clocks_that_disagree_never_make_a_negative_time() -> None:
    fields = [dump_job(make_job(submitted_ms=5000)), "running", "1", "4000", None, None]
    record = record_of(fields, now_ms=4000, limits=LIMITS)
    assert record.state is JobState.RUNNING
    assert record.timings_ms == Timings(queue=0.0)
    assert record.timings_ms.queue is not None
    assert math.copysign(1, record.timings_ms.queue) == 1


def history_entry(decision: Decision, **result: object) -> str:
    stored = result_of(decision, scored_by=SCORED_BY if decision.outcome.is_scored else None, timings=TIMINGS)
    text = json.dumps(stored.model_dump(mode="json") | result)
    return json.dumps({"result": text, "done_ms": "1000", "attempts": "2", "replaced_ms": "3000", "counted": "unread"})


@pytest.mark.parametrize("decision", [scored(flagged=True), unread()], ids=["scored", "unread"])
def test_replaced_decision_says_what_it_was_and_until_when(decision: Decision) -> None:
    past = past_decision_of(history_entry(decision))
    assert (past.outcome, past.reason, past.probability) == (decision.outcome, decision.reason, decision.probability)
    assert (past.done_at.timestamp(), past.replaced_at.timestamp(), past.attempts) == (1, 3, 2)


@pytest.mark.parametrize(
    "entry",
    ["", "{}", history_entry(unread(), probability=0.2), history_entry(scored(flagged=True), model=None)],
    ids=["nothing", "no fields", "a score of an unread film", "a score of no model"],
)
def test_replaced_decision_that_breaks_the_invariant_is_an_error(entry: str) -> None:
    with pytest.raises(RecordCorrupt):
        past_decision_of(entry)
