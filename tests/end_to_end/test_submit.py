"""``cxr-triage submit`` against a running stack."""

import json
import subprocess
from pathlib import Path

import pytest

from services.api.scopes import Role
from tests.end_to_end.test_cli import SCRIPT
from tests.support.access import make_key
from tests.support.command_line import cxr_triage
from tests.support.films import CT_STORAGE, dicom_film, png_film
from tests.support.gateway import environment
from tests.support.parts import Parts
from tests.support.redis_server import RedisServer
from tests.support.senders import numbered_films
from tests.support.stack import StackProcess


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    (folder / "deeper").mkdir(parents=True)
    for seed in range(100, 105):
        (folder / f"{seed}.png").write_bytes(png_film(seed=seed))
    (folder / "deeper" / "film.dcm").write_bytes(dicom_film(seed=100))
    (folder / "deeper" / "slice").write_bytes(dicom_film(seed=101, SOPClassUID=CT_STORAGE))
    (folder / ".hidden").write_bytes(b"not sent")
    return folder


def submit(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    return cxr_triage("submit", *arguments, settings=environment() | settings)


def records(answer: subprocess.CompletedProcess[str]) -> dict[str, dict]:  # type: ignore[type-arg]  # JSON
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    return {Path(line["path"]).name: line for line in lines}


def test_folder_ends_with_an_outcome_for_every_film(running_stack: StackProcess, films: Path) -> None:
    answer = submit(films, "--json", "--url", running_stack.wait_ready())
    assert answer.returncode == 0, answer.stderr
    ends = records(answer)
    assert set(ends) == {"100.png", "101.png", "102.png", "103.png", "104.png", "film.dcm", "slice"}
    assert ends["slice"]["record"]["reason"] == "sop_class"
    assert all(end["delivery"] == "done" for end in ends.values())
    assert "7 files" in answer.stderr


def test_second_run_scores_nothing_again(running_stack: StackProcess, films: Path) -> None:
    first, second = (
        records(submit(films, "--json", "--url", running_stack.wait_ready(), "--in-flight", count)) for count in (1, 4)
    )
    assert {name: end["record"] for name, end in first.items()} == {name: end["record"] for name, end in second.items()}


def test_table_is_for_people_and_shows_no_bar_to_a_pipe(running_stack: StackProcess, films: Path) -> None:
    command, told = [SCRIPT, "submit", films / "100.png", films / "deeper"], {"TRIAGE_URL": running_stack.wait_ready()}
    answer = subprocess.run(command, env=environment() | told, capture_output=True, text=True, timeout=280, check=False)
    header, *rows = answer.stdout.rstrip().splitlines()
    assert header.split() == ["file", "id", "outcome", "reason", "probability"]
    assert len(rows) == 3
    assert len(answer.stderr.splitlines()) == 1


def test_refused_file_is_shown_with_its_code_and_the_rest_goes_on(running_stack: StackProcess, films: Path) -> None:
    (films / "notes.txt").write_text("no film")
    answer = submit(films, "--json", "--url", running_stack.wait_ready())
    assert answer.returncode == 3
    ends = records(answer)
    assert (ends["notes.txt"]["delivery"], ends["notes.txt"]["code"]) == ("refused", "unsupported_format")
    assert sum(end["delivery"] == "done" for end in ends.values()) == 7


def test_service_that_is_not_there_ends_with_1_within_patience(films: Path) -> None:
    answer = submit(films / "100.png", "--json", "--url", "http://127.0.0.1:9", "--patience", 1)
    assert answer.returncode == 1
    assert records(answer)["100.png"]["code"] == "unreachable"


def test_one_key_delivers_more_films_than_its_quotas_allow_at_once(
    redis_server: RedisServer, tiny_bundle_directory: Path, tmp_path: Path
) -> None:
    key = make_key(tmp_path / "keys.json", Role.SUBMIT)
    (tmp_path / "many").mkdir()
    for number, film in enumerate(numbered_films(120)):
        (tmp_path / "many" / f"{number}.png").write_bytes(film)
    parts = Parts(directory=tmp_path, server=redis_server, bundle=tiny_bundle_directory)
    with parts.gateway(api_keys_file=tmp_path / "keys.json") as gateway, parts.worker():
        answer = submit(tmp_path / "many", "--json", "--url", gateway.url, TRIAGE_API_KEY=key)
        assert '"code": "too_many_uploads"' in gateway.output or '"code": "rate_limited"' in gateway.output
    assert answer.returncode == 0, answer.stderr
    assert [end["delivery"] for end in records(answer).values()] == ["done"] * 120
