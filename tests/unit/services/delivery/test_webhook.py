from __future__ import annotations

import json

from services.delivery.webhook import message, message_id
from services.jobs.limits import QueueLimits
from services.jobs.records import Job, Record
from services.jobs.stored import dump_job, record_of, result_of
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, scored


def decided(job: Job) -> Record:
    result = result_of(scored(flagged=True), scored_by=SCORED_BY, timings=TIMINGS).model_dump_json()
    fields = [dump_job(job), "done", "1", "1700000000000", "1700000000123", result]
    return record_of(fields, now_ms=1_700_000_000_200, limits=QueueLimits())


def test_a_message_names_the_film_by_our_id_and_says_nothing_that_was_read_from_it() -> None:
    job = make_job(1, study_uid="1.2.826.77777")
    body = message(decided(job), commit=2)
    assert json.loads(body) == {
        "type": "instance.decided",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "data": {
            "id": job.id,
            "site": "default",
            "priority": "routine",
            "outcome": "flagged",
            "reason": None,
            "commit": 2,
            "link": f"/v1/instances/{job.id}",
        },
    }
    assert b"77777" not in body


def test_a_repeat_has_the_same_bytes_and_the_same_id_and_another_decision_another_id() -> None:
    record = decided(make_job(1))
    assert message(record, commit=1) == message(record, commit=1)
    assert message_id(record.id, 1) == message_id(record.id, 1)
    assert len({message_id(record.id, 1), message_id(record.id, 2), message_id(make_job(2).id, 1)}) == 3
    assert "." not in message_id(record.id, 1)  # the full stop parts what is signed
