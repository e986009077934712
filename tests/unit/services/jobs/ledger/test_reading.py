"""Decisions are read back from sound chains only, and chains that cannot hold them are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.jobs.errors import RecordCorrupt
from services.jobs.ledger.chain import Chain
from services.jobs.ledger.chain_files import head_of
from services.jobs.ledger.decisions import LedgeredDecision, finished, read_decision
from services.jobs.ledger.entries import EMPTY, AuditEvent, Note, line_of
from services.jobs.ledger.reading import LedgeredFilm, read_films
from services.jobs.ledger.verify import verify
from services.jobs.stored import result_of
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, now_ms, scored
from tests.support.ledger import lines_of, put_lines

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=90)


def decision(number: int = 1, *, flagged: bool = True, done_ms: int | None = None) -> LedgeredDecision:
    return LedgeredDecision(
        job=make_job(number, submitted_ms=1),
        result=result_of(scored(flagged=flagged), scored_by=SCORED_BY, timings=TIMINGS),
        done_ms=now_ms() if done_ms is None else done_ms,
        taken_ms=None,
        attempts=1,
        done_by="a",
        counted="flagged" if flagged else "not_flagged",
    )


def write(directory: Path, notes: Sequence[Note]) -> Path:
    chain = Chain(directory, "worker")
    chain.append(notes)
    chain.close()
    assert chain.name is not None
    return directory / chain.name


def test_decision_is_read_as_it_was_written() -> None:
    written = decision()
    assert read_decision(line_of(finished(written), service="worker", after=EMPTY)) == written


def test_decision_that_contradicts_its_own_line_is_not_read() -> None:
    note = finished(decision(flagged=True))
    for lie in ({"outcome": "not_flagged"}, {"film": "f" * 32}):
        with pytest.raises(RecordCorrupt):
            read_decision(line_of(Note(event=note.event, facts={**note.facts, **lie}), service="worker", after=EMPTY))


def test_decision_that_was_written_twice_is_one(tmp_path: Path) -> None:
    once = finished(decision())
    for _ in range(2):
        write(tmp_path, [once])
    _, films = read_films(tmp_path, None, is_wanted=lambda _: True)
    assert [len(film.decisions) for film in films.values()] == [1]


def test_chain_with_a_finding_says_nothing_at_all(tmp_path: Path) -> None:
    sound, edited = [write(tmp_path, [finished(decision(number)), finished(decision(9))]) for number in (1, 2)]
    lines = lines_of(edited)
    put_lines(edited, [*lines[:-1], lines[-1].replace(b'"attempts":1', b'"attempts":2')])
    report, films = read_films(tmp_path, None, is_wanted=lambda _: True)
    assert [finding.file for finding in report.findings] == [edited.name]
    assert set(films) == {make_job(number).id for number in (1, 9)}
    assert sound.exists()


def test_chains_that_ended_long_ago_are_left_alone_if_somebody_vouches_for_their_ends(tmp_path: Path) -> None:
    old = write(tmp_path, [Note(event=AuditEvent.STOPPED, time=LONG_AGO)])
    since_ms = int(1000 * (NOW - timedelta(days=1)).timestamp())
    assert verify(tmp_path, None, since_ms=since_ms).entries == 2  # nobody vouches yet
    write(tmp_path, [])
    assert verify(tmp_path, None, since_ms=since_ms).entries == 1
    put_lines(old, lines_of(old)[:1])
    report = verify(tmp_path, None, since_ms=since_ms)
    assert not report.is_sound


def test_file_whose_retirement_stands_in_a_chain_that_is_left_alone_is_not_missed(tmp_path: Path) -> None:
    retired = write(tmp_path, [])
    head = head_of(retired)
    living = Chain(tmp_path, "api")
    living.append([])  # vouches for it
    gone = {"file": retired.name, "last": str(head)}
    write(tmp_path, [Note(event=AuditEvent.CHAIN_RETIRED, time=LONG_AGO, facts=gone)])
    retired.unlink()
    write(tmp_path, [finished(decision())])
    living.close()
    since_ms = int(1000 * (NOW - timedelta(days=1)).timestamp())
    assert not verify(tmp_path, None, since_ms=since_ms).is_sound
    report, films = read_films(tmp_path, None, is_wanted=lambda _: True, since_ms=since_ms)
    assert report.is_sound
    assert len(films) == 1


@pytest.mark.parametrize(
    ("done", "opened", "is_open"),
    [
        ([100], [], False),
        ([100], [200], True),
        ([100, 300], [200], False),
        ([100, 300], [200, 210], False),  # asked twice before it was scored
        ([100, 300], [200, 400], True),
        ([100], [90], True),  # the clock of the host that opened is behind
    ],
)
def test_film_is_open_where_it_was_opened_after_its_last_decision(
    done: list[int], opened: list[int], is_open: bool
) -> None:
    decisions = tuple(decision(done_ms=done_ms) for done_ms in done)
    assert LedgeredFilm(decisions=decisions, opened_ms=tuple(opened)).is_open is is_open
