"""What people install, in environments that have nothing else: the wheel, and what the Dockerfile's lines make.

The lines are run as they stand, from nothing but what the image copies. There is no Docker engine here: base images,
users and apt are linted (tests/architecture) and not run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.gateway import environment

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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the base image copies in ``opt``."""
    place = tmp_path_factory.mktemp("image")
    (work := place / "opt").mkdir()
    for line in of_stage("base", r"^COPY (.+)$"):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, work / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, work / target)
    return place


@pytest.fixture(scope="module")
def wheel_alone(wheel: Path, place: Path) -> Path:
    """An environment with the wheel, what it asks for, and nothing else, as it is kept for ``clean``."""
    venv.create(place / "venv", with_pip=True)
    run(place, f"pip install --quiet --constraint '{ROOT / 'constraints.txt'}' '{wheel}'")
    (place / "venv").rename(place / "kept")
    return place / "kept"


@pytest.fixture
def clean(wheel_alone: Path, place: Path) -> Path:
    """The place, with the environment of the wheel alone: what an extra asks for comes to what all have, once."""
    shutil.rmtree(place / "venv", ignore_errors=True)
    # Links: pip and Python put a new file in an old one's place, and write into none. Scripts name the first place.
    shutil.copytree(wheel_alone, place / "venv", symlinks=True, copy_function=os.link)
    return place


def run(place: Path, command: str, *, directory: str = "opt") -> str:
    """Run a line as the image would in its working directory; return what it printed."""
    path = f"{place / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    # Bytecode of everything is most of what an installation costs. What is imported is compiled once, by who needs it.
    spared = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1"}
    surroundings = environment() | spared | {"PATH": path}
    surroundings.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=place / directory,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def install(place: Path, target: str) -> None:
    """Run a stage's line; it replaces the wheel by what it builds of the image's own files."""
    (line,) = of_stage(target, r"^RUN (pip install .+)$")
    assert re.search(r"^Successfully installed .*\bcxr-triage-", run(place, line), re.MULTILINE)


def test_wheel_carries_scripts_bundle_and_page_but_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert tops == {"model", "services", "training"}
    assert any(name.startswith("services/jobs/scripts/") and name.endswith(".lua") for name in names)
    assert {f"services/api/web/{path.name}" for path in (ROOT / "services" / "api" / "web").iterdir()} <= set(names)
    assert any(name.startswith("model/bundles/") and name.endswith("manifest.json") for name in names)
    assert any(name.startswith("training/recipes/") and name.endswith(".toml") for name in names)
    assert any(name.startswith("training/reports/published/") and name.endswith(".toml") for name in names)


@pytest.mark.timeout(600)
def test_wheel_answers_help_from_a_clean_environment_in_any_directory(clean: Path) -> None:
    (clean / "elsewhere").mkdir()
    for script in ("cxr-triage", "cxr-train"):
        assert "Usage" in run(clean, f"{script} --help", directory="elsewhere")


@pytest.mark.downloads
@pytest.mark.timeout(600)
def test_image_of_the_gateway_has_its_three_commands_and_what_makes_reports(clean: Path) -> None:
    install(clean, "api")
    for command in ("api", "dimse", "deliver"):
        assert "Usage" in run(clean, f"cxr-triage {command} --help")
    imported = "highdicom, pynetdicom, services, services.api.app, services.dicom.report"
    # Of the installed packages, not of the sources beside.
    found = run(clean, f"python -P -c 'import {imported}; print(services.__file__)'")
    assert found.startswith(str(clean / "venv"))


@pytest.mark.downloads
@pytest.mark.timeout(600)
def test_image_of_the_worker_decodes_as_soon_as_it_is_built(clean: Path) -> None:
    (proof,) = of_stage("worker-cpu", r"^RUN (python -P .+)$")
    install(clean, "worker-cpu")
    run(clean, proof)
    assert "Usage" in run(clean, "cxr-triage worker --help")


@pytest.mark.downloads
@pytest.mark.timeout(600)
def test_packages_of_the_gpu_image_agree_with_the_pins(clean: Path) -> None:
    (line,) = of_stage("worker-gpu", r"^RUN (pip install .+)$")
    # Some gigabytes that nothing here could run: pip says what it would install.
    would = run(clean, line.replace("pip install", "pip install --dry-run"))
    assert "onnxruntime-gpu" in would.replace("_", "-")
