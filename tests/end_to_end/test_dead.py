"""``cxr-triage dead`` as an operator's shell sees it, against real processes whose inference failed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from model.errors import Reason
from services.commands.dead import OurFault
from services.jobs import keys
from services.jobs.queue.scripted import OUR_FAULT
from tests.support.command_line import cxr_triage
from tests.support.directed_worker import Directions
from tests.support.gateway import environment, wait_until
from tests.support.ledger import entries_in
from tests.support.parts import Parts, records, wait_done
from tests.support.processes import frozen
from tests.support.senders import numbered_films, send_all
from tests.support.stack import StackProcess

FILMS = 3
SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A running gateway and worker with films that ended ``retries_exhausted``; inference works again."""

    parts: Parts
    url: str
    film_ids: list[str]
    services: tuple[subprocess.Popen[bytes], ...]

    def dead(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        places = {name: value for name, value in self.parts.places.items() if name != "spool_minimum_free_ratio"}
        return run_dead(*arguments, **places)

    def outcome(self, film_id: str) -> str | None:
        return str(records(self.url, [film_id])[film_id]["outcome"])


def run_dead(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return cxr_triage("dead", *arguments, settings=environment(**settings))


@dataclass(frozen=True, kw_only=True)
class Running:
    """A gateway and a worker whose inference fails where it is told to, for all tests of this file."""

    parts: Parts
    url: str
    directions: Directions
    services: tuple[subprocess.Popen[bytes], ...]
    films: Iterator[bytes]


@pytest.fixture(scope="module")
def running(module_parts: Parts) -> Iterator[Running]:
    directions = module_parts.directions()
    retrying = module_parts.worker(directed_by=directions, worker_retry_seconds=[0.0])
    with module_parts.gateway() as gateway, retrying as worker:
        yield Running(
            parts=module_parts,
            url=gateway.url,
            directions=directions,
            services=(gateway.process, worker.process),
            films=iter(numbered_films(10 * FILMS)),
        )


@pytest.fixture
def failed(running: Running) -> Failed:
    with running.parts.server.client() as client:
        client.delete(keys.DEAD)  # what earlier tests have left
    running.directions.fail(1_000_000)
    sent = send_all(running.url, list(islice(running.films, FILMS)), seconds=SECONDS)
    wait_done(running.url, sent, seconds=SECONDS)
    running.directions.fail(0)
    film_ids = [one.film_id for one in sent]
    return Failed(parts=running.parts, url=running.url, film_ids=film_ids, services=running.services)


def test_requeued_film_is_scored_and_what_was_done_is_in_the_audit_trail(failed: Failed) -> None:
    listed = [json.loads(line) for line in failed.dead("list", "--json").stdout.splitlines()]
    assert {film["id"] for film in listed} == set(failed.film_ids)
    assert {(film["reason"], film["is_requeueable"]) for film in listed} == {("retries_exhausted", True)}
    assert failed.dead("list", "--limit", "1").stdout.count("retries_exhausted") == 1

    first, *others = failed.film_ids
    answer = failed.dead("requeue", first)
    assert (answer.returncode, answer.stdout) == (0, "1 queued again, 0 refused\n"), answer.stderr
    _wait_scored(failed, [first])

    again = failed.dead("requeue", first, "0" * 32)
    assert again.returncode == 3
    assert again.stdout == "0 queued again, 2 refused\n"
    assert [line.split(": ")[:2] for line in again.stderr.splitlines()] == [
        [first, "not_rescorable"],
        ["0" * 32, "instance_not_found"],
    ]
    assert failed.dead("requeue", "--reason", "deadline").stdout == "0 queued again, 0 refused\n"
    assert failed.dead("requeue", "--all").stdout == "2 queued again, 0 refused\n"
    _wait_scored(failed, others)
    assert failed.dead("requeue", "--all").stdout == "0 queued again, 0 refused\n"
    assert _requeued_in_trail(failed) == sorted(failed.film_ids)


def test_film_without_payload_is_refused_with_a_clear_word(failed: Failed) -> None:
    film_id = failed.film_ids[0]
    with failed.parts.server.client() as client:
        client.hdel(keys.instance(film_id), "payload")  # as retention notes it before it deletes the file
    answer = failed.dead("requeue", film_id)
    assert answer.returncode == 3
    assert "not_rescorable" in answer.stderr
    assert "retention" in answer.stderr
    assert failed.outcome(film_id) == "not_assessed"
    listed = [json.loads(line) for line in failed.dead("list", "--json").stdout.splitlines()]
    assert {film["id"]: film["is_requeueable"] for film in listed}[film_id] is False


def test_film_whose_payload_is_lost_is_refused_and_the_others_are_not(failed: Failed) -> None:
    film_id = failed.film_ids[0]
    for file in (failed.parts.directory / "spool").glob(f"??/{film_id}.*"):
        file.unlink()
    answer = failed.dead("requeue", "--all")
    assert (answer.returncode, answer.stdout) == (3, f"{FILMS - 1} queued again, 1 refused\n")
    assert "not in the spool" in answer.stderr
    _wait_scored(failed, failed.film_ids[1:])


def test_spool_that_is_not_there_is_one_clear_line(failed: Failed, tmp_path: Path) -> None:
    places = {name: value for name, value in failed.parts.places.items() if name != "spool_minimum_free_ratio"}
    answer = run_dead("requeue", "--all", **(places | {"spool_directory": tmp_path / "none"}))
    assert answer.returncode == 2
    assert answer.stderr.startswith("cxr-triage: spool_unavailable")
    assert not (tmp_path / "none").exists()


def test_backlog_without_room_stops_the_command_with_1(failed: Failed) -> None:
    # Frozen: now and then the services count the open films anew, and then there is room.
    with frozen(*failed.services), failed.parts.server.client() as client:
        counted = client.getset(keys.OPEN_BYTES, 2**50)
        answer = failed.dead("requeue", "--all")
        client.set(keys.OPEN_BYTES, counted or 0)
    assert answer.returncode == 1
    assert "queue_full" in answer.stderr
    assert answer.stdout == "0 queued again, 0 refused\n"


def test_audit_trail_that_takes_nothing_is_said(failed: Failed, tmp_path: Path) -> None:
    (tmp_path / "no-directory").write_text("a file")
    places = {name: value for name, value in failed.parts.places.items() if name != "spool_minimum_free_ratio"}
    answer = run_dead("requeue", failed.film_ids[0], **(places | {"audit_directory": tmp_path / "no-directory"}))
    assert answer.returncode == 1
    assert "audit trail" in answer.stderr


@pytest.mark.parametrize("arguments", [[], ["--all", "a"], ["--all", "--reason", "deadline"], ["--reason", "view"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert run_dead("requeue", *arguments).returncode == 2


def test_reasons_of_the_command_are_those_that_the_queue_lists() -> None:
    assert {Reason(reason) for reason in OurFault} == OUR_FAULT


def test_redis_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    answer = run_dead("list", redis_url=f"unix://{tmp_path}/none.sock")
    assert answer.returncode == 2
    assert answer.stderr.startswith("cxr-triage: queue_unavailable")
    assert len(answer.stderr.splitlines()) == 1


def test_running_stack_is_found_by_its_directory(running_stack: StackProcess) -> None:
    answer = run_dead("list", "--data-dir", str(running_stack.data_dir))
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["id", "reason", "ended", "(UTC)", "again"]


def _wait_scored(failed: Failed, film_ids: list[str]) -> None:
    wait_until(
        lambda: all(failed.outcome(film_id) in ("flagged", "not_flagged") for film_id in film_ids), what="the scores"
    )


def _requeued_in_trail(failed: Failed) -> list[str]:
    entries = entries_in(failed.parts.directory / "audit")
    requeued = (entry["film"] for entry in entries if entry["event"] == "requeued")
    return sorted(film for film in requeued if film in failed.film_ids)
