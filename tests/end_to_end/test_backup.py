"""docs/backup.md: its commands copy a stack that films come into, and bring it back somewhere else."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

import model
from benchmarks.needs import AUDIT_BYTES_A_FILM, REDIS_BYTES_A_FILM
from services.jobs import keys
from services.jobs.reconcile import UNCLAIMED_SECONDS
from services.jobs.spool import Spool, film_id_of
from services.standalone.data_directory import socket_of
from tests.support.films import dicom_film, png_film
from tests.support.gateway import environment, plain_client, wait_until
from tests.support.policies import choose
from tests.support.stack import StackProcess
from tests.support.tools import require_tools

PAGE = (Path(__file__).parents[2] / "docs" / "backup.md").read_text(encoding="utf-8")
COPY, RESTORE, AFTERWARDS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SHIPPED = Path(model.__file__).parent / "bundles" / "nih-triage-128"
PNG = {"Content-Type": "image/png"}
FILMS = 30


@dataclass(frozen=True)
class Backup:
    """A copy, what was acknowledged and decided before it began, and the trail as it was some time after it."""

    place: Path
    records: dict[str, dict[str, Any]]
    later_trail: Path
    policy: dict[str, Any]
    assessed: str


def run(script: str, directory: Path, **variables: Path) -> subprocess.CompletedProcess[str]:
    require_tools("bash")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    surroundings = environment() | {name: str(value) for name, value in variables.items()} | {"PATH": path}
    command = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(
        command, cwd=directory, env=surroundings, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture(scope="module")
def backup(tiny_bundle_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    directory = tmp_path_factory.mktemp("backup")
    place = directory / "copy"
    with StackProcess(directory, bundle=tiny_bundle_directory) as stack, stack.client() as client:
        sent = [client.post("/v1/instances", content=png_film(seed=seed), headers=PNG).json() for seed in range(FILMS)]
        stack.wait_idle()
        with redis.Redis(unix_socket_path=str(socket_of(stack.data_dir))) as known:
            wait_until(lambda: known.zcard(keys.LEDGER_DUE) == 0, what="outcomes in the ledger")
        records = {film["id"]: client.get(film["links"]["self"]).json() for film in sent}
        assert {record["state"] for record in records.values()} == {"done"}
        with films_coming_in(stack.wait_ready()):
            done = run(COPY, directory, DATA=stack.data_dir, BACKUP=place)
        assert done.returncode == 0, done.stderr
        make_older(place / "spool", seconds=2 * UNCLAIMED_SECONDS)
        assert stack.is_running, "nothing had to stop"
        policy = choose_anew(client)
        study = next(record["study_uid"] for record in records.values() if record["probability"] is not None)
        said = {"truth": "no_finding", "source": "reader", "verdict": "disagree"}
        assert client.post(f"/v1/studies/{study}/assessments?site=default", json=said).status_code == 201
    shutil.copytree(stack.data_dir / "audit", directory / "later")
    return Backup(place=place, records=records, later_trail=directory / "later", policy=policy, assessed=study)


def make_older(spool: Path, *, seconds: float) -> None:
    """Make payloads as old as they are when a copy is needed: the youngest are left alone, as still on their way."""
    for path in spool.rglob("*"):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def choose_anew(client: httpx.Client) -> dict[str, Any]:
    """Save a policy that nobody's copy has; return it."""
    found = client.get("/v1/policies/default").json()
    point = found["default"]
    answer = choose(client, "default", point["digest"], point["threshold"], seen=0, override_reason="for this test")
    assert answer.is_success, answer.text
    policy: dict[str, Any] = answer.json()["policy"]
    return policy


@contextmanager
def films_coming_in(url: str) -> Iterator[None]:
    """Send films for the block, from a thread."""
    has_begun, is_over = threading.Event(), threading.Event()

    def send() -> None:
        with plain_client(base_url=url) as client:
            for seed in itertools.count(1000):
                client.post("/v1/instances", content=png_film(seed=seed), headers=PNG)
                has_begun.set()
                if is_over.is_set():
                    return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        assert has_begun.wait(120)
        yield
    finally:
        is_over.set()
        thread.join(120)


def restored(
    backup: Backup, directory: Path, bundle: Path, *, without: tuple[str, ...] = (), trail: Path | None = None
) -> StackProcess:
    """Start a stack on what the page's commands make of a copy that lacks these parts, or has another trail."""
    copy = directory / "copy"
    shutil.copytree(backup.place, copy, symlinks=True)
    for part in without if trail is None else ("audit",):
        shutil.rmtree(copy / part)
    if trail is not None:
        shutil.copytree(trail, copy / "audit")
    done = run(RESTORE, directory, BACKUP=copy, RESTORED=directory / "data")
    assert done.returncode == 0, done.stderr
    return StackProcess(directory, bundle=bundle)


def records_of(client: httpx.Client, backup: Backup) -> dict[str, dict[str, Any]]:
    answers = {film: client.get(f"/v1/instances/{film}") for film in backup.records}
    return {film: answer.json() for film, answer in answers.items() if answer.is_success}


@pytest.mark.parametrize("without", [(), ("redis",)], ids=["whole", "without Redis"])
def test_every_film_that_was_acknowledged_before_the_copy_comes_back_as_it_was(
    backup: Backup, tiny_bundle_directory: Path, tmp_path: Path, without: tuple[str, ...]
) -> None:
    with restored(backup, tmp_path, tiny_bundle_directory, without=without) as stack, stack.client() as client:
        assert decisions(records_of(client, backup)) == decisions(backup.records)
        done = run(AFTERWARDS, tmp_path, RESTORED=stack.data_dir)
        assert done.returncode == 0, done.stdout + done.stderr
        assert decisions(records_of(client, backup)) == decisions(backup.records)
        picture = next(iter(backup.records.values()))["links"]["preview"]
        assert client.get(picture).is_success
        kept = Spool(backup.place / "spool", quota_bytes=2**40).kept(older_than_seconds=0)
        came = {film_id_of(payload) for payload in kept} - set(backup.records)
        assert came, "films came in while the copy was made"
        wait_until(
            lambda: all(client.get(f"/v1/instances/{film}").is_success for film in came), what="every film of the spool"
        )


def test_redis_that_is_older_than_the_trail_learns_what_was_chosen_and_said_since(
    backup: Backup, tiny_bundle_directory: Path, tmp_path: Path
) -> None:
    older = restored(backup, tmp_path, tiny_bundle_directory, trail=backup.later_trail)
    with older as stack, stack.client() as client:
        done = run(AFTERWARDS, tmp_path, RESTORED=stack.data_dir)
        assert done.returncode == 0, done.stdout + done.stderr
        assert client.get("/v1/policies/default").json()["history"] == [backup.policy]
        (assessment,) = client.get(f"/v1/studies/{backup.assessed}/assessments?site=default").json()["assessments"]
        assert (assessment["verdict"], assessment["truth"]) == ("disagree", "no_finding")


def test_trail_alone_brings_every_outcome_back(backup: Backup, tiny_bundle_directory: Path, tmp_path: Path) -> None:
    lost = ("redis", "spool")
    with restored(backup, tmp_path, tiny_bundle_directory, without=lost) as stack, stack.client() as client:
        assert records_of(client, backup) == {}
        done = run(AFTERWARDS, tmp_path, RESTORED=stack.data_dir)
        assert done.returncode == 0, done.stdout + done.stderr
        assert decisions(records_of(client, backup)) == decisions(backup.records)


def decisions(records: dict[str, dict[str, Any]]) -> dict[str, tuple[object, ...]]:
    """Return what is decided of each film, by whom and when."""
    fields = ("state", "outcome", "probability", "threshold", "policy", "model", "submitted_at", "done_at", "sha256")
    return {film: tuple(str(record[field]) for field in fields) for film, record in records.items()}


def test_film_leaves_no_more_behind_than_the_page_on_capacity_counts(tmp_path: Path) -> None:
    films = 60
    with StackProcess(tmp_path, bundle=SHIPPED) as stack, stack.client() as client:
        send(client, stack, range(films))  # with what is there once, whatever comes
        before = kept(stack)
        send(client, stack, range(films, 2 * films))
        after = kept(stack)
    assert 1000 < (after[0] - before[0]) / films <= REDIS_BYTES_A_FILM
    assert 500 < (after[1] - before[1]) / films <= AUDIT_BYTES_A_FILM


def send(client: httpx.Client, stack: StackProcess, seeds: range) -> None:
    """Send films, and wait until all are decided."""
    for seed in seeds:
        film = dicom_film(seed=seed)
        answer = client.post("/v1/instances", content=film, headers={"Content-Type": "application/dicom"})
        assert answer.is_success, answer.text
    stack.wait_idle()


def kept(stack: StackProcess) -> tuple[int, int]:
    """Return the bytes that Redis keeps, and those of the trail, when every outcome is written there."""
    with redis.Redis(unix_socket_path=str(socket_of(stack.data_dir))) as known:
        wait_until(lambda: known.zcard(keys.LEDGER_DUE) == 0, what="outcomes in the ledger")
        trail = sum(path.stat().st_size for path in (stack.data_dir / "audit").rglob("*") if path.is_file())
        memory = known.info("memory")
        # Buffers of connections come and go by hundreds of kilobytes, whatever films there are.
        return int(memory["used_memory"]) - int(memory["mem_clients_normal"]), trail
