"""``cxr-triage bench`` against a running stack."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis

from benchmarks.service import Role, Service
from services.jobs import keys
from services.standalone.data_directory import socket_of
from tests.end_to_end.test_cli import SCRIPT
from tests.support.command_line import cxr_triage
from tests.support.films import CT_STORAGE, dicom_film, jpeg_film, png_film
from tests.support.gateway import environment, wait_until
from tests.support.stack import StackProcess


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    return cxr_triage("bench", *arguments)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for seed in range(2):
        (folder / f"{seed}.png").write_bytes(png_film(seed=seed))
    (folder / "film.jpg").write_bytes(jpeg_film(seed=2))
    (folder / "film.dcm").write_bytes(dicom_film(seed=3))
    (folder / "slice.dcm").write_bytes(dicom_film(seed=4, SOPClassUID=CT_STORAGE))
    return folder


def saved(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_closed_loop_sends_every_film_anew_and_saves_what_it_measured(
    running_stack: StackProcess, films: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bench.json"
    url = running_stack.wait_ready()
    for _ in range(2):  # the second run's films are as new to the service as the first's
        answer = bench(films, "--url", url, "--films", 20, "--concurrency", 4, "--out", out)
        assert answer.returncode == 0, answer.stderr
        measured = saved(out)["measured"]
        assert (measured["sent"], measured["failed"]) == (20, 0)
        assert measured["ended"]["not_assessed(sop_class)"] == 4
        assert measured["accept"]["count"] == measured["outcome"]["count"] == 20
        assert measured["accept"]["p50"] <= measured["outcome"]["p50"]
    assert "20 films: " in answer.stderr
    assert saved(out)["machine"]["cores"] >= 1
    assert saved(out)["versions"]["cxr-triage"]
    assert url not in out.read_text()


def test_open_loop_has_its_rate_and_one_request_can_wait_for_the_outcome(
    running_stack: StackProcess, films: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bench.json"
    options = ("--rate", 10, "--arrivals", "steady", "--seconds", 1.95, "--warm-up", 0, "--follow", "wait")
    answer = bench(films, "--url", running_stack.wait_ready(), *options, "--out", out)
    assert answer.returncode == 0, answer.stderr
    assert saved(out)["measured"]["sent"] == 19
    assert saved(out)["load"]["loop"] == "open"


def test_films_without_an_outcome_fail_the_run_and_are_counted(running_stack: StackProcess, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    options = ("--url", running_stack.wait_ready(), "--films", 3, "--kind", "jpeg", "--site", "not a site")
    answer = bench(*options, "--out", out)
    assert answer.returncode == 1, answer.stderr
    assert saved(out)["measured"]["failed"] == 3


def test_nothing_is_sent_where_nothing_answers(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    answer = bench("--url", "http://127.0.0.1:9", "--kind", "jpeg", "--out", out)
    assert answer.returncode == 1
    assert answer.stderr == "cxr-triage bench: no service answers there (unreachable)\n"
    assert not out.exists()


def test_interrupted_run_keeps_what_it_has_measured(running_stack: StackProcess, tmp_path: Path) -> None:
    url, out = running_stack.wait_ready(), tmp_path / "bench.json"
    before = _instances(running_stack)
    command = [str(SCRIPT), "bench", "--kind", "jpeg", "--url", url, "--seconds", "250", "--warm-up", "0"]
    with subprocess.Popen(
        [*command, "--out", str(out)], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        # Eight are sent at once, and another only when one has ended.
        wait_until(lambda: _instances(running_stack) > before + 8, what="a film with an outcome")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    assert saved(out)["measured"]["sent"] >= 1
    assert saved(out)["load"]["is_whole"] is False


def _instances(stack: StackProcess) -> int:
    with redis.Redis(unix_socket_path=str(socket_of(stack.data_dir))) as client:
        return sum(1 for _ in client.scan_iter(match=keys.instance("*")))


@pytest.mark.parametrize(
    "options", [("--url", "ftp://there"), ("--rate", 1, "--films", 1)], ids=["url", "films in an open loop"]
)
def test_wrong_usage_ends_with_2_before_anything_is_sent(options: tuple[object, ...]) -> None:
    answer = bench(*options)
    assert answer.returncode == 2
    assert answer.stderr.startswith("cxr-triage bench: ")


def test_file_of_which_there_can_be_no_second_one_is_named(films: Path) -> None:
    (films / "letter.txt").write_text("no film")
    answer = bench(films, "--url", "http://127.0.0.1:9")
    assert answer.returncode == 2
    assert "letter.txt" in answer.stderr


def test_every_process_of_a_stack_is_found_with_what_it_costs(running_stack: StackProcess) -> None:
    service = Service(url=running_stack.wait_ready(), stack=running_stack)
    assert set(service.cpu_seconds()) == set(service.rss_bytes()) == set(Role)
    assert all(spent > 0 for spent in service.cpu_seconds().values())
    assert all(held > 0 for held in service.rss_bytes().values())
