"""The deployment files say what the program reads: every variable is a setting, every command exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from services.jobs.settings import variable_names
from tests.support.tools import require_tools

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy" / "docker-compose.yml"


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_docker_compose_accepts_the_file(profile: str) -> None:
    require_tools("docker-compose")
    command = ["docker-compose", "-f", str(COMPOSE), "--profile", profile, "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"worker-{profile}" in done.stdout


def test_every_variable_of_the_compose_file_is_a_setting() -> None:
    named = set(re.findall(r"\bCXR_[A-Z_]+", COMPOSE.read_text()))
    assert named
    assert named <= set(variable_names())


def test_dockerfile_has_the_targets_and_copies_only_what_exists() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    assert {"api", "worker-cpu", "worker-gpu"} <= set(re.findall(r" AS ([\w-]+)", text))
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source


def test_redis_configuration_is_one_that_the_gateway_accepts() -> None:
    text = (ROOT / "deploy" / "redis.conf").read_text()
    assert re.search(r"^appendonly yes$", text, re.MULTILINE)
    assert re.search(r"^appendfsync always$", text, re.MULTILINE)
    assert re.search(r"^maxmemory-policy noeviction$", text, re.MULTILINE)
