"""Of several processes that train together each says what was its own fault, and none waits for one that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.datasets import write_collection
from tests.support.ports import free_ports

DEADLINE_SECONDS = 120
RECIPE = "healthy_unhealthy"
CXR_TRAIN = (sys.executable, "-c", "from training.cli import main; main()")


def ended_together(folder: Path, commands: list[list[str]]) -> list[tuple[int, str]]:
    """Start a process for each command as torchrun would, and return exit code and standard error of each."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_ports(1)[0]), "WORLD_SIZE": str(len(commands))}
    # What torch logs of lost connections is not what this package says of them.
    quiet = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "FATAL"}
    processes = [
        subprocess.Popen(
            [*CXR_TRAIN, *command],
            cwd=folder,
            env=os.environ | place | quiet | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, command in enumerate(commands)
    ]
    try:
        said = [process.communicate(timeout=DEADLINE_SECONDS)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


@pytest.mark.parametrize(
    "command",
    [
        ["run", RECIPE, "--data", "absent", "--out", "run"],
        ["pretrain", "triage", "--films", "absent", "--out", "weights.pth"],
    ],
)
def test_a_first_process_that_fails_says_so_and_sends_the_other_home(tmp_path: Path, command: list[str]) -> None:
    (first, said), other = ended_together(tmp_path, [command, command])
    assert first == 2
    assert said.startswith("cxr-train: rank 0: ")
    assert said.endswith("absent is not a directory\n")
    assert said.count("\n") == 1
    assert other == (0, "")


def test_a_process_that_cannot_compute_says_so_at_once_and_the_first_notices(tmp_path: Path) -> None:
    data = write_collection(tmp_path / "data", patients=60, films_per_patient=1, pixels=32)
    command = ["run", RECIPE, "--preset", "cpu", "--data", str(data), "--out", str(tmp_path / "run")]
    (first, noticed), (other, said) = ended_together(tmp_path, [command, [*command, "--device", "abacus"]])
    assert other == 2
    assert said.startswith("cxr-train: rank 1: torch cannot use the device 'abacus'")
    assert said.count("\n") == 1
    assert (first, noticed) == (2, "cxr-train: rank 0: another process of the 2 that train together is gone\n")


def test_a_first_process_that_fails_while_all_compute_is_missed_in_one_line(tmp_path: Path) -> None:
    data = write_collection(tmp_path / "data", patients=60, films_per_patient=1, pixels=32)
    (tmp_path / "run" / ".finetune.checkpoints" / "member-0-stage-1-done.pt").mkdir(parents=True)
    command = ["run", RECIPE, "--preset", "cpu", "--data", str(data), "--out", "run"]
    (first, said), (other, noticed) = ended_together(tmp_path, [command, command])
    assert first == 2
    assert said.startswith("cxr-train: rank 0: cannot read the checkpoint")
    assert said.count("\n") == 1
    left = "the first process, or another one, of the 2 that train together is gone"
    assert (other, noticed) == (2, f"cxr-train: rank 1: {left}\n")
