"""What becomes of a film, by what the service answers. ``test_connections`` has the server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.bench.films import Films, template_of
from services.bench.load import Ending
from services.bench.target import Follow, TargetOptions, TriageTarget
from services.jobs.records import JobState, Links, Priority, Record, Timings, moment
from tests.support.films import png_film
from tests.unit.services.bench.test_connections import served

QUEUED = Record(
    id="a" * 32,
    study_uid="2.25.1",
    sop_instance_uid=None,
    site="default",
    priority=Priority.ROUTINE,
    state=JobState.QUEUED,
    outcome=None,
    reason=None,
    probability=None,
    threshold=None,
    policy=None,
    model=None,
    findings=None,
    sha256="0" * 64,
    submitted_at=moment(0),
    done_at=None,
    timings_ms=Timings(),
    attempts=0,
    overdue=False,
    links=Links(self="/v1/instances/a", study="/v1/studies/2.25.1"),
)
RECORD = QUEUED.model_dump(mode="json")
DONE = RECORD | {"state": "done", "outcome": "not_assessed", "reason": "blank", "done_at": "1970-01-01T00:00:01Z"}


def answer(status: int, document: object, **headers: str) -> bytes:
    body = json.dumps(document).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} -\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body


async def delivered(answers: Sequence[bytes | None], options: TargetOptions) -> tuple[Ending, list[bytes]]:
    async with served(*answers) as (pool, server):
        target = TriageTarget(pool, Films([template_of(png_film())]), options)
        ending = await target.deliver(0)
    return replace(ending, accepted_at=None), [request.split(b"\r\n", 1)[0] for request in server.requests]


async def test_film_is_followed_from_its_202_to_its_outcome() -> None:
    answers = [answer(202, RECORD), answer(200, RECORD), answer(200, DONE)]
    ending, requests = await delivered(answers, TargetOptions())
    assert ending == Ending(kind="not_assessed(blank)", is_good=True)
    assert requests[0] == b"POST /below/v1/instances?priority=routine HTTP/1.1"
    assert requests[1:] == [b"GET /below/v1/instances/a?wait=20 HTTP/1.1"] * 2


async def test_one_request_waits_for_the_outcome() -> None:
    ending, requests = await delivered([answer(200, DONE)], TargetOptions(follow=Follow.WAIT, site="icu"))
    assert ending == Ending(kind="not_assessed(blank)", is_good=True)
    assert requests == [b"POST /below/v1/instances?priority=routine&site=icu&wait=20 HTTP/1.1"]


@pytest.mark.parametrize(
    ("answers", "ending"),
    [
        ([answer(202, RECORD)], Ending(kind="accepted", is_good=True)),
        ([answer(200, DONE)], Ending(kind="known_already", is_good=False)),
        (
            [answer(503, {"code": "queue_full"}, retry_after="2")],
            Ending(kind="queue_full", is_good=False, pause_seconds=2.0),
        ),
        ([answer(502, "a proxy's page")], Ending(kind="http_502", is_good=False)),
        ([answer(202, {"id": "no record"})], Ending(kind="no_record", is_good=False)),
        ([None], Ending(kind="connection_lost", is_good=False)),
    ],
)
async def test_film_that_nobody_follows_ends_when_it_is_answered(
    answers: Sequence[bytes | None], ending: Ending
) -> None:
    assert (await delivered(answers, TargetOptions(follow=Follow.NONE)))[0] == ending


async def test_film_without_an_outcome_is_given_up() -> None:
    ending, _ = await delivered([answer(202, RECORD)], TargetOptions(patience_seconds=0.0))
    assert ending == Ending(kind="no_outcome", is_good=False)
