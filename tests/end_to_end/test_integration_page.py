"""docs/integration.md: its commands run as they stand, its configurations are those of the running hospital."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.delivery.signing import signed_headers
from services.delivery.targets import read_targets
from services.jobs.settings import DimseSettings, variable_names
from tests.support.gateway import environment, wait_until
from tests.support.pacs import DIMSE, WEB, Hospital, hospital, study_of_films
from tests.support.parts import Parts
from tests.support.tools import require_tools

PAGE = (Path(__file__).parents[2] / "docs" / "integration.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


COMMANDS = blocks("sh")
CLIENT, RECEIVER = blocks("python")
(CONFIGURATION,) = blocks("json")
(SCRIPT,) = blocks("lua")
(LISTENER,) = blocks("dotenv")
(TARGETS,) = blocks("toml")


@pytest.fixture(scope="module")
def running(module_parts: Parts) -> Iterator[Hospital]:
    """A hospital whose archive has the page's configuration; addresses, ports and key are those of the test."""
    directory = module_parts.directory
    (directory / "triage.lua").write_text(SCRIPT)
    with hospital(module_parts, callers=listener_callers(), configured=archive_settings(directory)) as everything:
        yield everything


def listener_callers() -> dict[str, str]:
    found = dict(line.split("=", 1) for line in LISTENER.splitlines())
    callers: dict[str, str] = json.loads(found["CXR_DIMSE_CALLERS"])
    return callers


def archive_settings(directory: Path) -> dict[str, Any]:
    """Return what the page tells Orthanc beyond its peers, which the hospital names with the test's ports."""
    page: dict[str, Any] = json.loads(CONFIGURATION)
    others = {name: value for name, value in page.items() if not name.startswith("Dicom")}
    return others | {"LuaScripts": [str(directory / "triage.lua")]}


# What a command of the page prints, where that says more than its exit status.
PRINTED = {"/series?": '"SR"', "/v1/studies/": '"films":1'}


@pytest.mark.parametrize("command", COMMANDS, ids=[f"command-{number}" for number in range(len(COMMANDS))])
def test_command_of_the_page_works(running: Hospital, tmp_path: Path, command: str) -> None:
    require_tools("bash", "curl", "python3", "echoscu", "storescu")
    done = run(running, ["bash", "-euo", "pipefail", "-c", command], tmp_path, name=command)
    assert done.returncode == 0, done.stderr + done.stdout
    assert [words for call, words in PRINTED.items() if call in command and words not in done.stdout] == [], done.stdout


def test_client_of_the_page_stores_its_films(running: Hospital, tmp_path: Path) -> None:
    done = run(running, [sys.executable, "-c", CLIENT], tmp_path, name="client")
    assert done.returncode == 0, done.stderr


def run(running: Hospital, command: list[str], directory: Path, *, name: str) -> subprocess.CompletedProcess[str]:
    """Run a command where the page says that ``film.dcm`` lies; the film is known before, and its results are there."""
    study_uid, (film,) = study_of_films(hashlib.sha256(name.encode()).hexdigest()[:8], 1)
    (directory / "film.dcm").write_bytes(film)
    with running.client() as client:
        assert client.post("/v1/instances", content=film, headers={"Content-Type": "application/dicom"}).is_success
    running.wait_decided(study_uid, count=1)
    running.wait_delivered()
    told = {
        "URL": running.gateway.url,
        "KEY": running.key,
        "DIMSE_HOST": "127.0.0.1",
        "DIMSE_PORT": str(running.dimse_port),
        "ORTHANC": running.archive.url,
        "ORTHANC_LOGIN": running.archive.login,
        "STUDY": study_uid,
        "NO_PROXY": "127.0.0.1",
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    surroundings = environment() | told | {"PATH": path}
    return subprocess.run(command, cwd=directory, env=surroundings, capture_output=True, text=True, timeout=240)


def test_archive_forwards_each_film_that_it_stores_and_none_of_our_results(running: Hospital) -> None:
    study_uid, films = study_of_films("forwarded", 3)
    failed = running.archive.jobs("Failure")
    for film in films:
        running.archive.upload(film)
    decided = running.wait_decided(study_uid, count=3)
    running.wait_delivered()
    assert len(running.archive.objects(study_uid)) == 9, "a report and an overlay of each film"
    running.archive.wait_sent()
    assert running.archive.jobs("Failure") == failed, "a result that was sent here would have been refused"
    assert running.films(study_uid) == decided


def test_film_that_could_not_be_sent_is_a_failed_job_that_is_sent_again(running: Hospital) -> None:
    study_uid, (film,) = study_of_films("listener away", 1)
    running.archive.wait_sent()  # else films of other tests would fail, too
    port, before = running.dimse_port, running.archive.jobs("Failure")
    running.dimse.kill()
    running.archive.upload(film)
    wait_until(lambda: running.archive.jobs("Failure").keys() > before.keys(), what="the failed job")
    assert running.films(study_uid) == []
    running.start_dimse(port=port)
    (job,) = running.archive.jobs("Failure").keys() - before.keys()
    running.archive.resubmit(job)
    running.wait_decided(study_uid, count=1)


def test_page_names_the_peers_of_the_archive_as_the_hospital_does() -> None:
    page = json.loads(CONFIGURATION)
    assert set(page["DicomModalities"]) == {DIMSE}
    assert set(page["DicomModalities"][DIMSE]) <= {"AET", "Host", "Port", "AllowTranscoding"}
    assert page["DicomModalities"][DIMSE]["AET"] == DimseSettings.model_fields["ae_title"].default
    assert page["DicomModalities"][DIMSE]["Port"] == DimseSettings.model_fields["port"].default
    assert set(page["DicomWeb"]["Servers"]) == {WEB}
    assert page["DicomWeb"]["Servers"][WEB]["Url"].endswith("/dicom-web")
    assert page["DicomAet"] in listener_callers()


def test_listener_of_the_page_is_configured_by_settings_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in LISTENER.splitlines():
        name, _, value = line.partition("=")
        assert name in variable_names()
        monkeypatch.setenv(name, value)
    assert DimseSettings().callers == listener_callers()


def test_targets_of_the_page_are_read(tmp_path: Path) -> None:
    path = tmp_path / "targets.toml"
    path.write_text(TARGETS)
    assert [target.kind for target in read_targets(path)] == ["stow", "cstore", "webhook"]


def test_receiver_of_the_page_takes_our_webhooks_and_nobody_elses() -> None:
    names: dict[str, Any] = {}
    exec(RECEIVER, names)
    secret, body, now = "whsec_QUJDRA==", b'{"type":"instance.decided"}', int(time.time())
    headers = signed_headers(b"ABCD", message_id="cxr_1_1", timestamp_seconds=now, body=body)
    is_genuine = names["is_genuine"]
    assert is_genuine(headers, body, secret)
    assert not is_genuine(headers, body + b" ", secret)
    assert not is_genuine(headers | {"webhook-id": "cxr_2_1"}, body, secret)
    assert not is_genuine(headers, body, "whsec_QUJDRQ==")
    old = signed_headers(b"ABCD", message_id="cxr_1_1", timestamp_seconds=now - 3600, body=body)
    assert not is_genuine(old, body, secret)
