"""Noting something never waits and never fails; what the disk refuses is kept within a bound, and its loss is told."""

from __future__ import annotations

import json
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from services.jobs.errors import LedgerUnavailable
from services.jobs.ledger.entries import DICOM_EVENTS, AuditEvent, Note
from services.jobs.ledger.trail import AuditTrail, open_trail
from services.jobs.ledger.verify import verify
from services.jobs.settings import AuditSettings
from tests.support.gateway import wait_until
from tests.support.ledger import heads_in, lines_of


def entries_in(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(directory.glob("*.jsonl")) for line in lines_of(path)]


def events_in(directory: Path) -> list[str]:
    return [entry["event"] for entry in entries_in(directory)]


def test_trail_begins_with_its_start_and_ends_with_its_stop(tmp_path: Path) -> None:
    with open_trail(AuditSettings(directory=tmp_path), "cli") as trail:
        trail.note(AuditEvent.KEY_CREATED, who="admin", source="127.0.0.1", is_success=True)
    started, created, stopped = entries_in(tmp_path)
    assert (started["event"], stopped["event"]) == ("started", "stopped")
    assert set(started) >= {"version", "chains"}
    assert created == created | {"seq": 2, "service": "cli", "who": "admin", "dicom": "110137", "success": True}
    assert created["time"].endswith("Z")
    assert "film" not in created  # what an event does not speak of is left out


def test_trail_that_nobody_uses_says_that_the_process_lived(tmp_path: Path) -> None:
    with open_trail(AuditSettings(directory=tmp_path), "api"):
        pass
    assert events_in(tmp_path) == ["started", "stopped"]


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    with open_trail(AuditSettings(directory=directory), "api"):
        pass
    (path,) = directory.iterdir()
    assert (stat.S_IMODE(directory.stat().st_mode), stat.S_IMODE(path.stat().st_mode)) == (0o700, 0o600)


def test_every_event_has_its_number() -> None:
    assert set(DICOM_EVENTS) == set(AuditEvent)


def test_notes_of_many_threads_are_all_there_in_one_sound_chain(tmp_path: Path) -> None:
    with open_trail(AuditSettings(directory=tmp_path), "api") as trail:

        def note_many() -> None:
            for _ in range(250):
                trail.note(AuditEvent.ACCESSED, film_id="0" * 32)

        threads = [threading.Thread(target=note_many) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert events_in(tmp_path).count("accessed") == 2000
    assert verify(tmp_path, heads_in(tmp_path)).is_sound


def test_text_from_outside_stays_inside_its_field(tmp_path: Path) -> None:
    hostile = 'x","event":"stopped"}\n{"seq":3,\ud800'
    with open_trail(AuditSettings(directory=tmp_path), "api") as trail:
        trail.note(AuditEvent.REFUSED, site=hostile)
    assert [entry.get("site") for entry in entries_in(tmp_path)] == [None, hostile, None]
    assert verify(tmp_path, heads_in(tmp_path)).is_sound


def test_directory_that_is_taken_away_is_made_again_and_the_loss_is_found(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    with open_trail(AuditSettings(directory=directory), "api") as trail:
        wait_until(lambda: trail.position is not None)
        heads = heads_in(directory)
        shutil.rmtree(directory)
        trail.note(AuditEvent.ACCESSED)
    assert events_in(directory) == ["started", "accessed", "stopped"]
    assert [str(finding.damage) for finding in verify(directory, heads).findings] == ["missing file"]


def test_what_the_disk_refuses_is_written_when_it_works_again_and_what_did_not_fit_is_counted(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    directory.write_text("a file where the directory should be")
    trail = AuditTrail(directory, "api", buffered_notes=3)
    trail.start()
    for _ in range(5):
        trail.note(AuditEvent.ACCEPTED)
    wait_until(lambda: not trail.is_writable)
    assert trail.waiting == 3
    directory.unlink()
    wait_until(lambda: trail.is_writable and trail.waiting == 0)
    trail.close()
    assert events_in(directory) == ["started", *["accepted"] * 3, "events_lost", "stopped"]
    (lost,) = [entry for entry in entries_in(directory) if entry["event"] == "events_lost"]
    assert (lost["count"], lost["success"]) == (2, False)


def test_stop_does_not_wait_for_a_disk_that_refuses(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    directory.write_text("a file where the directory should be")
    trail = AuditTrail(directory, "api")
    trail.start()
    trail.note(AuditEvent.ACCEPTED)
    trail.close()
    assert trail.waiting == 2


def test_caller_who_stops_waiting_does_not_stop_the_trail(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path, "worker")
    trail.start()
    for _ in range(50):
        trail.append([Note(event=AuditEvent.FINISHED)]).cancel()
    assert trail.append([Note(event=AuditEvent.FINISHED)]).result(timeout=10)
    trail.close()
    assert verify(tmp_path, heads_in(tmp_path)).is_sound


def test_ordered_entries_are_durable_when_they_are_answered_for(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path, "worker")
    trail.start()
    file, head = trail.append([Note(event=AuditEvent.FINISHED, facts={"film": "0" * 32})]).result(timeout=10)
    assert head == heads_in(tmp_path)[file]
    trail.close()
    with pytest.raises(LedgerUnavailable):
        trail.append([]).result(timeout=10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_waits_for_an_entry_is_answered_also_where_a_fault_of_ours_ends_the_writer(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path, "worker")
    trail.start()
    unwritable = trail.append([Note(event=AuditEvent.ALERT, facts={"code": object()})])
    with pytest.raises(LedgerUnavailable):
        unwritable.result(timeout=10)
    with pytest.raises(LedgerUnavailable):
        trail.append([]).result(timeout=10)
    trail.close()
