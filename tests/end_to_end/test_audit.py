"""The audit trail as its operator meets it: whole after use, restoring after a loss, refusing after a forgery."""

from __future__ import annotations

import socket
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from services.jobs import keys
from services.standalone.data_directory import socket_of
from tests.support.command_line import cxr_triage
from tests.support.films import png_film
from tests.support.gateway import environment, wait_until
from tests.support.ledger import entries_in, heads_in, lines_of, write_chain
from tests.support.stack import StackProcess, wait_gone

PNG = {"Content-Type": "image/png"}


def audit(stack: StackProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cxr_triage("audit", *arguments, "--data-dir", stack.data_dir)


def redis_of(stack: StackProcess) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket_of(stack.data_dir)), decode_responses=True)


def entries(stack: StackProcess) -> list[dict[str, Any]]:
    return entries_in(stack.data_dir / "audit")


def send(client: httpx.Client, *seeds: int) -> list[dict[str, Any]]:
    """Send films and wait for their outcomes; return their records."""
    return [
        client.post("/v1/instances", content=png_film(seed=seed), headers=PNG, params={"wait": 30}).json()
        for seed in seeds
    ]


def wait_written(stack: StackProcess, films: int) -> None:
    """Wait until so many outcomes are in the trail and off the outbox, and Redis has been told where the chains end."""
    with redis_of(stack) as client:
        wait_until(lambda: Counter(one["event"] for one in entries(stack))["finished"] >= films, what="the entries")
        wait_until(lambda: client.zcard(keys.LEDGER_DUE) == 0, what="an empty outbox")
        wait_until(
            lambda: (
                client.hgetall(keys.LEDGER_HEADS)
                == {name: str(head) for name, head in heads_in(stack.data_dir / "audit").items()}
            ),
            what="the ends of all chains",
        )


def test_what_is_done_with_films_is_written_down(tiny_bundle_directory: Path, tmp_path: Path) -> None:
    with StackProcess(tmp_path, bundle=tiny_bundle_directory) as stack:
        with stack.client() as client:
            (film,) = send(client, 1)
            assert client.get(film["links"]["preview"]).is_success
            assert client.get(film["links"]["self"]).is_success
            assert client.get(film["links"]["study"]).is_success
            assert client.get("/v1/studies").is_success
        wait_written(stack, 1)
        assert stack.stop() == 0
        written = entries(stack)
        offline = audit(stack, "verify", "--offline")
    assert Counter(one["event"] for one in written) == {
        "started": 2,
        "accepted": 1,
        "finished": 1,
        "accessed": 3,
        "stopped": 2,
    }
    accepted = next(one for one in written if one["event"] == "accepted")
    assert (accepted["film"], accepted["study"], accepted["source"]) == (film["id"], film["study_uid"], "127.0.0.1")
    assert (offline.returncode, offline.stdout) == (0, "")
    assert "without Redis" in offline.stderr


def test_workers_that_are_killed_leave_a_sound_trail_with_every_outcome(
    tiny_bundle_directory: Path, tmp_path: Path
) -> None:
    with StackProcess(
        tmp_path, bundle=tiny_bundle_directory, worker_idle_seconds=2, worker_heartbeat_seconds=0.5
    ) as stack:
        links = []
        with stack.client() as client:
            for seed in range(24):
                film = client.post("/v1/instances", content=png_film(seed=seed), headers=PNG).json()
                links.append(film["links"]["self"])
                if seed % 8 == 5:
                    killed = stack.child("services.worker")
                    killed.kill()
                    wait_gone([killed])
                    wait_until(lambda: _has_worker(stack), what="another worker")
            wait_until(lambda: all(client.get(link).json()["outcome"] for link in links), what="every outcome")
        with redis_of(stack) as database:
            wait_until(lambda: database.zcard(keys.LEDGER_DUE) == 0, what="an empty outbox")
        verified = audit(stack, "verify")
        assert (verified.returncode, verified.stdout) == (0, "")
        finished = {one["film"] for one in entries(stack) if one["event"] == "finished"}
        assert finished == {link.rpartition("/")[2] for link in links}


def _has_worker(stack: StackProcess) -> bool:
    try:
        return bool(stack.child("services.worker").is_running())
    except ValueError:
        return False


def test_results_survive_an_emptied_redis_and_a_forged_line_restores_nothing(
    tiny_bundle_directory: Path, tmp_path: Path
) -> None:
    with StackProcess(tmp_path, bundle=tiny_bundle_directory) as stack, stack.client() as client:
        before = send(client, *range(4))
        studies = client.get("/v1/studies").json()["studies"]
        wait_written(stack, 4)
        verified = audit(stack, "verify")
        assert (verified.returncode, verified.stdout) == (0, ""), verified.stderr
        with redis_of(stack) as database:
            database.flushall()
        restored = audit(stack, "restore")
        assert restored.returncode == 0, restored.stderr
        after = [client.get(film["links"]["self"]).json() for film in before]
        assert after == before
        unchanging = [{name: value for name, value in one.items() if name != "updated_at"} for one in studies]
        now = client.get("/v1/studies").json()["studies"]
        assert [{name: value for name, value in one.items() if name != "updated_at"} for one in now] == unchanging

        chain = next(path for path in (stack.data_dir / "audit").glob("worker-*.jsonl"))
        content = chain.read_bytes()
        number = next(at for at, line in enumerate(lines_of(chain), start=1) if b'"finished"' in line)
        forged = content.replace(b'"outcome":"flagged"', b'"outcome":"not_flagged"', 1)
        if forged == content:
            forged = content.replace(b'"outcome":"not_flagged"', b'"outcome":"flagged"', 1)
        chain.write_bytes(forged)
        found = audit(stack, "verify")
        assert found.returncode == 1
        assert found.stdout.startswith(f"{chain.name}:")
        assert ": edited: " in found.stdout
        assert int(found.stdout.split(":")[1]) >= number
        assert audit(stack, "restore").returncode == 1
        assert audit(stack, "accept-loss", chain.name).returncode == 1, "it is there"
        chain.unlink()
        assert "missing file" in audit(stack, "verify").stdout
        mistyped = audit(stack, "accept-loss", chain.name, "worker-mistyped.jsonl")
        assert (mistyped.returncode, "missed by nobody: worker-mistyped.jsonl" in mistyped.stderr) == (1, True)
        assert "missing file" in audit(stack, "verify").stdout
        assert audit(stack, "accept-loss", chain.name).returncode == 0
        assert audit(stack, "verify").returncode == 0


@pytest.mark.parametrize("is_embedded", [True, False], ids=["stopped stack", "unreachable Redis"])
def test_verify_says_what_to_do_where_no_redis_answers(tmp_path: Path, is_embedded: bool) -> None:
    write_chain(tmp_path / "audit", entries=2)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and nobody listens
        redis_url = f"redis://127.0.0.1:{nobody.getsockname()[1]}/0"
        settings = environment() if is_embedded else environment(redis_url=redis_url)
        asked, offline = (verify_in(tmp_path, settings, *options) for options in ((), ("--offline",)))
    assert asked.returncode == 2
    (line,) = asked.stderr.splitlines()
    assert "start it" in line
    assert "--offline" in line
    assert (offline.returncode, offline.stdout) == (0, "")


def test_wrong_setting_is_not_called_a_missing_redis(tmp_path: Path) -> None:
    refused = verify_in(tmp_path, environment(audit_directori=tmp_path))
    assert refused.returncode == 2
    assert "CXR_AUDIT_DIRECTORI" in refused.stderr
    assert "--offline" not in refused.stderr


def verify_in(data_dir: Path, settings: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return cxr_triage("audit", "verify", *options, "--data-dir", data_dir, settings=settings)


def test_place_without_a_trail_is_not_called_sound(tmp_path: Path) -> None:
    verified = verify_in(tmp_path, environment(), "--offline")
    assert verified.returncode == 2
    assert "there is no audit trail in" in verified.stderr
    assert "Traceback" not in verified.stderr
