"""A contender of the comparison, from its process to its figures, with one that needs no environment of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.peers.cells import Effort, measure
from benchmarks.peers.contenders import Contender, Kind, Setup, Speaks, contenders
from benchmarks.peers.delivering import drawn_templates
from benchmarks.peers.running import ContenderFailed, Place, running
from tests.support.bundles import write_tiny_bundle

BRIEF = Effort(warm_up_seconds=0.1, cell_seconds=0.5)
FASTAPI = [one for one in contenders(1) if one.name.startswith("FastAPI")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(python=Path(sys.executable), bundle=write_tiny_bundle(tmp_path / "bundle"), directory=tmp_path)


@pytest.mark.parametrize("contender", FASTAPI, ids=lambda contender: contender.name)
def test_a_contender_scores_films_and_its_processor_time_is_known(contender: Contender, place: Place) -> None:
    templates = drawn_templates()
    (cell,) = measure(contender, contender.setups[0], place, templates, concurrencies=(2,), effort=BRIEF)
    assert set(cell.measured.ended) <= {"scored"}
    assert cell.measured.failed == 0
    assert cell.server_ms > 0
    assert cell.generator_ms > 0


def test_nothing_of_a_contender_is_left_when_its_block_ends(place: Place) -> None:
    (contender, *_) = FASTAPI
    with running(contender, contender.setups[0], place) as server:
        processes = [server.root, *server.root.children(recursive=True)]
        assert server.cpu_seconds() > 0
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_a_contender_that_cannot_start_says_why(place: Place) -> None:
    command = ("{python}", "-c", "import sys; sys.exit('no such model server')")
    broken = Contender(
        name="broken", kind=Kind.USUAL, speaks=Speaks.BODY, setups=(Setup(name="only", command=command),)
    )
    with pytest.raises(ContenderFailed, match="no such model server"), running(broken, broken.setups[0], place):
        pytest.fail("it was up")
