"""Entries of one kind, read back: in order, from sound chains alone, and nothing is passed over in silence."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from pydantic import BaseModel

from services.jobs.ledger.chain import Chain
from services.jobs.ledger.entries import AuditEvent, Note
from services.jobs.ledger.facts import read_facts


class Told(BaseModel):
    number: int


def write(directory: Path, service: str, *numbers: object, event: AuditEvent = AuditEvent.REJECTED) -> Path:
    chain = Chain(directory, service)
    for number in numbers:
        chain.append([Note(event=event, facts={"number": number})])
    chain.append([Note(event=AuditEvent.STOPPED)])
    chain.close()
    assert chain.name is not None
    return directory / chain.name


def numbers_in(directory: Path, *, since_ms: int = 0) -> list[int]:
    told = read_facts(directory, None, event=AuditEvent.REJECTED, facts=Told, since_ms=since_ms)
    return sorted(one.number for one in told)


def test_entries_of_one_event_are_read_from_every_chain(tmp_path: Path) -> None:
    write(tmp_path, "api", 1, 2)
    write(tmp_path, "worker", 3)
    write(tmp_path, "dimse", 4, event=AuditEvent.ASSESSED)
    assert numbers_in(tmp_path) == [1, 2, 3]
    assert numbers_in(tmp_path, since_ms=2**52) == []


def test_chain_that_somebody_added_to_says_nothing_and_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "worker", 3)
    unsound = write(tmp_path, "api", 1, 2)
    unsound.write_bytes(unsound.read_bytes().replace(b'"number":2', b'"number":9'))
    with caplog.at_level(logging.ERROR):
        assert numbers_in(tmp_path) == [3]
    told = [(vars(record)["action"], vars(record)["file"], vars(record)["event"]) for record in caplog.records]
    assert told == [("ledger_unsound", unsound.name, "rejected")]


def test_entry_that_cannot_be_read_takes_no_other_with_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "api", 1, "two", 3)
    with caplog.at_level(logging.ERROR):
        assert numbers_in(tmp_path) == [1, 3]
    assert [(vars(record)["action"], vars(record)["event"]) for record in caplog.records] == [
        ("ledger_unreadable", "rejected")
    ]
