"""Nothing that a part has started outlives it, however it ends; and what others spent is no part's own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.family import Moment, run_to_its_end
from benchmarks.results import ROOT
from tests.support.stack import wait_gone

# Starts a process whose parent ends at once, says its number, and then ends as it is told.
PART = """
import os, signal, subprocess, sys, time
from benchmarks.family import run_part

def main():
    started = subprocess.run(["sh", "-c", "sleep 1000 >&2 & echo $!"], stdout=subprocess.PIPE, text=True, check=True)
    print(started.stdout.strip(), flush=True)
    if sys.argv[1] == "fail":
        raise ValueError("a part that fails")
    if sys.argv[1] == "wait":
        time.sleep(1000)

run_part(main)
"""


def started_part(ending: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    part = subprocess.Popen(
        [sys.executable, "-c", PART, ending], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert part.stdout is not None
    return part, psutil.Process(int(part.stdout.readline()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_part_that_is_ended_ends_what_it_has_started_and_what_that_left_behind(number: int) -> None:
    part, orphan = started_part("wait")
    part.send_signal(number)
    part.communicate()
    assert part.returncode == 130
    wait_gone([orphan])


def test_part_that_fails_ends_what_it_has_started() -> None:
    part = subprocess.run([sys.executable, "-c", PART, "fail"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert part.returncode == 1
    assert "a part that fails" in part.stderr
    assert not psutil.pid_exists(int(part.stdout))


def test_command_s_exit_status_is_returned(tmp_path: Path) -> None:
    assert run_to_its_end([sys.executable, "-c", "raise SystemExit(3)"], cwd=tmp_path) == 3


def test_others_had_what_the_family_did_not_spend() -> None:
    earlier = Moment(wall=0.0, everybody=100.0, family=1.0)
    assert Moment(wall=10.0, everybody=118.0, family=14.0).other_cores_since(earlier) == pytest.approx(0.5)
    # Clocks of processes and of cores tick apart.
    assert Moment(wall=10.0, everybody=112.9, family=14.0).other_cores_since(earlier) == 0.0


def test_what_a_child_has_spent_is_the_family_s_own() -> None:
    before = Moment.now()
    spend = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", spend], check=True)
    assert Moment.now().family - before.family >= 0.3
