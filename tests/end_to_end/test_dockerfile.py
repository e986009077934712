"""The Dockerfile's install lines, run as they stand in clean environments, from nothing but what the image copies.

There is no Docker engine here: base images, users and apt are linted (tests/architecture) and not run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.support.gateway import environment

pytestmark = pytest.mark.downloads
ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
LIMIT_SECONDS = 500


def stage(target: str) -> str:
    """Return what the Dockerfile does for a target."""
    (found,) = [
        part for part in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE) if re.match(rf"\S+ AS {target}\n", part)
    ]
    return found


def of_stage(target: str, pattern: str) -> list[str]:
    return re.findall(pattern, stage(target), re.MULTILINE)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A directory with what the base image copies, and an environment without packages beside it."""
    work = tmp_path / "opt"
    work.mkdir()
    for line in of_stage("base", r"^COPY (.+)$"):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, work / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, work / target)
    venv.create(tmp_path / "venv", with_pip=True)
    return work


def run(image: Path, command: str) -> str:
    """Run a line as the image would in its working directory; return what it printed."""
    path = f"{image.parent / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    # Bytecode of everything is most of what an installation costs. What is imported is compiled once, by who needs it.
    spared = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1"}
    surroundings = environment() | spared | {"PATH": path}
    surroundings.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=image,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.timeout(600)
def test_image_of_the_gateway_has_its_three_commands_and_what_makes_reports(image: Path) -> None:
    (install,) = of_stage("api", r"^RUN (pip install .+)$")
    run(image, install)
    for command in ("api", "dimse", "deliver"):
        assert "Usage" in run(image.parent / "opt", f"cxr-triage {command} --help")
    # Of the installed packages, not of the sources beside.
    run(image, "python -P -c 'import highdicom, pynetdicom, services.api.app, services.dicom.report'")
    assert run(image, "python -P -c 'import services; print(services.__file__)'").startswith(str(image.parent / "venv"))


@pytest.mark.timeout(600)
def test_image_of_the_worker_decodes_as_soon_as_it_is_built(image: Path) -> None:
    (install,) = of_stage("worker-cpu", r"^RUN (pip install .+)$")
    (proof,) = of_stage("worker-cpu", r"^RUN (python -P .+)$")
    run(image, install)
    run(image, proof)
    assert "Usage" in run(image, "cxr-triage worker --help")


@pytest.mark.timeout(600)
def test_packages_of_the_gpu_image_agree_with_the_pins(image: Path) -> None:
    (install,) = of_stage("worker-gpu", r"^RUN (pip install .+)$")
    # Some gigabytes that nothing here could run: pip says what it would install.
    would = run(image, install.replace("pip install", "pip install --dry-run"))
    assert "onnxruntime-gpu" in would.replace("_", "-")
