"""``cxr-triage bundle`` on a running stack: another model scores, a bad one does not, and there is a way back."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.bundle import read_bundle
from services.commands.place import find_place
from services.jobs.settings import SettingsError
from tests.support.bundles import write_tiny_bundle
from tests.support.command_line import cxr_triage
from tests.support.films import png_film
from tests.support.gateway import wait_until
from tests.support.ledger import entries_in
from tests.support.stack import StackProcess


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "own", name="own")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "other", name="other", gain=0.5, size=32)


@pytest.fixture
def stack(tmp_path: Path, own: Path) -> Iterator[StackProcess]:
    with StackProcess(tmp_path, bundle=own, worker_decoders=1, worker_threads=1) as running:
        running.wait_ready()
        yield running


def bundle(stack: StackProcess, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return command(*arguments, "--data-dir", stack.data_dir)


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return cxr_triage("bundle", *arguments)


def scored_by(stack: StackProcess, seed: int) -> str:
    with stack.client() as client:
        record = client.post(
            "/v1/instances",
            content=png_film(seed=seed),
            headers={"content-type": "image/png"},
            params={"wait": 30},
        ).json()
    assert record["state"] == "done", record
    return str(record["model"]["name"])


def audited(stack: StackProcess) -> list[tuple[str, str | None]]:
    entries = entries_in(stack.data_dir / "audit")
    ours = sorted((entry for entry in entries if entry["event"].startswith("bundle_")), key=lambda entry: entry["time"])
    return [(entry["event"], entry.get("code")) for entry in ours]


def test_another_bundle_takes_over_a_bad_one_does_not_and_there_is_a_way_back(
    stack: StackProcess, own: Path, other: Path, tmp_path: Path
) -> None:
    assert scored_by(stack, 1) == "own"
    done = bundle(stack, "activate", other)
    assert done.returncode == 0, done.stderr
    assert "prepared" in done.stdout
    assert scored_by(stack, 2) == "other"

    liar = write_tiny_bundle(tmp_path / "liar", name="liar", golden_probabilities=(0.9, 0.9, 0.9))
    refused = bundle(stack, "activate", liar)
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("cxr-triage bundle: bundle_corrupt: golden input 0 of liar")
    assert scored_by(stack, 3) == "other"

    digests = {path.name: read_bundle(path).digest for path in (own, other)}
    with stack.client() as client:
        models = client.get("/v1/models").json()
    assert (models["activation"]["active"], models["activation"]["previous"]) == (digests["other"], digests["own"])
    assert [worker["digest"] for worker in models["workers"]] == [digests["other"]]
    listed = bundle(stack, "list").stdout
    assert f"{digests['other']}  other 0.0.1" in listed
    assert "active, served by 1" in listed
    in_use = bundle(stack, "remove", digests["other"])
    assert (in_use.returncode, "bundle_in_use" in in_use.stderr) == (1, True)

    assert bundle(stack, "rollback").returncode == 0
    assert scored_by(stack, 4) == "own"
    assert bundle(stack, "activate", digests["other"][:12]).returncode == 0
    assert scored_by(stack, 5) == "other"
    assert audited(stack) == [
        ("bundle_activated", None),
        ("bundle_refused", "bundle_corrupt"),
        ("bundle_activated", None),
        ("bundle_activated", None),
    ]


def test_the_active_bundle_serves_again_after_the_stack_was_killed(stack: StackProcess, own: Path, other: Path) -> None:
    assert bundle(stack, "activate", other).returncode == 0
    stack.stop(signal.SIGKILL)
    note = stack.data_dir / "redis.socket"
    assert note.exists(), "a killed stack leaves its note behind"
    wait_until(lambda: _is_refused(stack), what="the end of the killed stack's Redis")
    with StackProcess(stack.data_dir.parent, bundle=own, worker_decoders=1, worker_threads=1) as again:
        again.wait_ready()
        assert "bundle other 0.0.1" in again.output
        (warning,) = [line for line in again.output.splitlines() if line.startswith("cxr-triage up: warning: ")]
        assert f"{own} does not serve, other 0.0.1" in warning, "the bundle that was named does not lose silently"
        assert f"cxr-triage bundle activate {own} --data-dir {again.data_dir}" in warning
        assert scored_by(again, 1) == "other"
    assert not note.exists()


def _is_refused(stack: StackProcess) -> bool:
    try:
        find_place(stack.data_dir)
    except SettingsError as error:
        return "no stack with a Redis of its own is running" in str(error)
    return False


def test_a_bundle_is_verified_without_any_stack(own: Path) -> None:
    done = command("verify", own)
    assert done.returncode == 0
    assert read_bundle(own).digest in done.stdout
    assert "3 golden inputs score as they should" in done.stdout
    (own / "notes.txt").write_text("not in the manifest")
    refused = command("verify", own)
    assert (refused.returncode, "bundle_corrupt" in refused.stderr) == (1, True)


def test_without_a_stack_the_stored_bundles_are_listed_and_nothing_is_changed(tmp_path: Path) -> None:
    listed = command("list", "--data-dir", tmp_path)
    assert listed.returncode == 0
    assert "unknown" in listed.stderr
    refused = command("rollback", "--data-dir", tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("cxr-triage: settings_error: no stack")
