"""A python with OpenVINO's build of onnxruntime in the place of this one's; all other packages are this one's."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = "onnxruntime-openvino"
_INSTALL_SECONDS = 600.0


def openvino_python(directory: Path) -> Path:
    """Make the environment and return its python; skip where the wheel cannot be had, fail where ``CI=true``.

    Its own packages come first, so that ``onnxruntime`` is the other build.
    """
    venv.create(directory, with_pip=False)
    place = sysconfig.get_path("purelib", vars={"base": str(directory)})
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pinned = ["--constraint", str(_ROOT / "constraints.txt"), "--target", place, _PACKAGE]
    done = subprocess.run([*install, *pinned], capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode != 0:
        reason = f"{_PACKAGE} cannot be had: {done.stderr.strip().splitlines()[-1]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    Path(place, "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{_ROOT}\n")
    return directory / "bin" / "python"
