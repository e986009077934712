"""The wheel, not the checkout, is what hospitals install."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(target.glob("*.whl"))


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
def test_wheel_answers_help_from_a_clean_environment_in_any_directory(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    subprocess.run(
        [environment / "bin" / "pip", "install", "-q", "--no-compile", "-c", ROOT / "constraints.txt", wheel],
        check=True,
        capture_output=True,
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for script in ("cxr-triage", "cxr-train"):
        done = subprocess.run(
            [environment / "bin" / script, "--help"], cwd=elsewhere, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout
