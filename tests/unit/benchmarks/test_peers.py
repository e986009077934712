"""The comparison with other servers: who takes part, and what a run amounts to."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import benchmarks.peers
from benchmarks.machine import first_cores, pinned
from benchmarks.peers.ceiling import Ceiling, measure_ceiling
from benchmarks.peers.cells import Cell
from benchmarks.peers.choosing import chosen_trial
from benchmarks.peers.contenders import PEERS_CONSTRAINTS, Kind, contenders, faster_precisions
from benchmarks.peers.table import Table, goal_rows
from benchmarks.results import Row
from services.bench.figures import Latency, Measured
from tests.support.bundles import write_tiny_bundle
from tests.support.films import png_film

PROGRAMS = Path(benchmarks.peers.__path__[0]) / "servers"
EVERYONE = contenders(2) + faster_precisions(2)
CEILING = Ceiling(cores=2, model_ms={"1 x 2 threads, batch 1": 39.0, "2 x 1 thread, batch 4": 36.0}, decode_ms=4.0)


def cell(
    contender: str,
    per_second: float,
    *,
    setup: str = "2 x 1 thread",
    p50: float = 100.0,
    p99: float = 120.0,
    failed: int = 0,
    busy: float = 2.0,
) -> Cell:
    latency = Latency(count=200, p50=p50, p90=p99, p99=p99, max=p99)
    measured = Measured(
        sent=200,
        ended={"scored": 200 - failed},
        failed=failed,
        seconds=5.0,
        per_second=per_second,
        accept=None,
        outcome=latency,
        lag=None,
    )
    return Cell(
        contender=contender,
        setup=setup,
        concurrency=8,
        measured=measured,
        server_ms=44.0,
        generator_ms=0.5,
        busy_cores=busy,
    )


def rows(*cells: Cell, **unavailable: str) -> dict[str, Row]:
    return {row.row: row for row in goal_rows(Table(EVERYONE, cells), EVERYONE, CEILING, unavailable)}


@pytest.mark.parametrize("contender", contenders(2), ids=lambda contender: contender.name)
def test_every_contender_names_programs_that_exist(contender: benchmarks.peers.contenders.Contender) -> None:
    for setup in contender.setups:
        named = [part for part in setup.command if part.endswith((".py", ":Film"))]
        assert all((PROGRAMS / f"{re.split('[.:]', part)[0]}.py").exists() for part in named)


def test_every_package_of_a_peer_is_pinned() -> None:
    pinned = set(re.findall(r"^([a-z-]+)==", PEERS_CONSTRAINTS.read_text(), re.MULTILINE))
    needed = {re.split(r"\[", part)[0] for one in EVERYONE if one.home is not None for part in one.home.requirements}
    assert needed <= pinned


def test_no_contender_has_more_threads_at_work_than_there_are_cores() -> None:
    for one in contenders(2):
        for setup in one.setups:
            threads = int(setup.environment.get("FILM_THREADS", "0"))
            is_batching = "FILM_MAX_BATCH" in setup.environment
            workers = 1 if is_batching else int(setup.environment.get("FILM_WORKERS", "1"))
            assert threads * workers <= 2, (one.name, setup.name)


def test_the_ceiling_is_what_the_cores_can_do_when_nothing_else_costs_anything() -> None:
    assert CEILING.per_second == 50.0
    row = rows(cell("this service", 45.0), cell("Mosec", 40.0))["fp32 end to end, share of the ceiling"]
    assert "36.0 (2 x 1 thread, batch 4)" in row.note
    assert row.measured == pytest.approx(0.9)
    assert row.met


def test_rounds_of_one_cell_count_by_their_median() -> None:
    table = Table(EVERYONE, [cell("Mosec", 30.0), cell("Mosec", 40.0), cell("Mosec", 90.0)])
    assert table.per_second("Mosec") == 40.0


def test_a_tuned_peer_counts_in_a_row_of_its_own() -> None:
    found = rows(cell("this service", 45.0), cell("Mosec", 40.0), cell("Mosec with OpenCV", 50.0))
    assert found["fp32 end to end, above every peer"].met
    assert not found["fp32 end to end, above tuned peers too"].met
    assert "Mosec with OpenCV" in found["fp32 end to end, above tuned peers too"].note


def test_fewer_bits_are_compared_with_the_best_peer_in_fp32() -> None:
    found = rows(cell("this service", 45.0), cell("this service, bf16", 80.0), cell("Mosec", 40.0))
    row = found["bf16 end to end, above the best peer in fp32"]
    assert (row.measured, row.goal, row.met) == (2.0, 1.7, True)


def test_what_could_not_be_measured_says_why() -> None:
    why = {"this service, int8": "left out of quick runs"}
    row = rows(cell("this service", 45.0), cell("Mosec", 40.0), **why)["int8 end to end, above the best peer in fp32"]
    assert row.measured is None
    assert row.note == "left out of quick runs"


def test_a_service_that_did_not_come_up_has_no_figures_and_meets_no_goal() -> None:
    found = rows(cell("Mosec", 40.0), **{"this service": "no Redis"})
    assert found.keys() == rows(cell("this service", 45.0), cell("Mosec", 40.0)).keys()
    assert all(row.measured is None and row.met is None and row.note == "no Redis" for row in found.values())


def test_a_machine_that_was_busy_with_other_work_meets_and_misses_no_goal() -> None:
    found = rows(cell("this service", 4.0, busy=0.4), cell("Mosec", 2.0, busy=0.5))
    assert found
    assert all(row.met is None and "0.5 of 2 cores" in row.note for row in found.values())


def test_failures_stand_beside_a_contenders_figures() -> None:
    (row,) = Table(EVERYONE, [cell("LitServe", 30.0, failed=7)]).told({})
    assert "7 of 200 failed" in row.note


def test_peers_that_could_not_be_had_stand_on_the_page_and_beside_what_is_claimed() -> None:
    why = {"Mosec": "no package index", "this service, int8": "left out of quick runs"}
    assert rows(cell("this service", 45.0), cell("LitServe", 40.0), **why)[
        "fp32 end to end, above every peer"
    ].note.endswith("without Mosec")
    *_, peer, ours = Table(EVERYONE, [cell("LitServe", 30.0)]).told(why)
    assert (peer.row, peer.measured, peer.note) == ("Mosec", None, "no package index")
    assert ours.row == "this service, int8"


def test_the_setup_that_lost_stands_beside_the_one_that_was_measured() -> None:
    lost = cell("Mosec", 28.0, setup="batches of 8, 2 threads")
    (row,) = Table(EVERYONE, [cell("Mosec", 31.0)], [cell("Mosec", 30.0), lost]).told({})
    assert row.note.startswith("2 x 1 thread; ")
    assert "tried: 2 x 1 thread 30.0 against batches of 8, 2 threads 28.0 films/s" in row.note


@pytest.mark.parametrize("per_second", [20.0, 24.0, 24.25, 24.7])
def test_the_default_is_measured_where_no_other_setup_is_clearly_faster(per_second: float) -> None:
    trials = [cell("any", 24.0, setup="default", p99=371.0), cell("any", per_second, setup="other", p99=100.0)]
    for order in (trials, trials[::-1]):
        assert chosen_trial(order, default="default").setup == "default"


def test_a_clearly_faster_setup_is_measured_whatever_its_slowest_films_take() -> None:
    trials = [cell("any", 54.75, setup="default", p99=198.0), cell("any", 65.0, setup="other", p99=226.0)]
    assert chosen_trial(trials, default="default").setup == "other"


def test_of_setups_as_fast_as_each_other_the_one_with_the_lower_p99_is_measured() -> None:
    faster = [cell("any", 40.0, setup="fastest", p99=300.0), cell("any", 39.5, setup="even", p99=200.0)]
    slower = [cell("any", 30.0, setup="default", p99=100.0), cell("any", 38.0, setup="slower", p99=100.0)]
    assert chosen_trial(slower + faster, default="default").setup == "even"


def test_a_default_that_did_not_come_up_is_not_measured() -> None:
    assert chosen_trial([cell("any", 10.0, setup="other")], default="default").setup == "other"


def test_a_trial_without_latencies_does_not_win_by_them() -> None:
    known, unknown = cell("any", 40.0, setup="known"), cell("any", 41.0, setup="unknown")
    unknown = replace(unknown, measured=replace(unknown.measured, outcome=None))
    assert chosen_trial([unknown, known], default="default").setup == "known"


def test_the_ceiling_takes_every_way_to_run_the_network(tmp_path: Path) -> None:
    network = write_tiny_bundle(tmp_path / "bundle") / "model.onnx"
    with pinned(first_cores(2)):
        found = measure_ceiling(network, png_film(), rounds=1)
    assert len(found.model_ms) == (2 if found.cores == 1 else 4)
    assert found.cheapest in found.model_ms
    assert found.decode_ms > 0


def test_only_what_decodes_as_its_examples_do_is_a_usual_peer() -> None:
    for one in contenders(2):
        decoders = {setup.environment.get("FILM_DECODER", "pillow") for setup in one.setups}
        assert (one.kind is Kind.TUNED) == (decoders == {"opencv"})
