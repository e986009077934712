"""Virtual environments for what cannot live beside this project's own packages: other builds of onnxruntime, peers.

Made once with pip from pinned versions, kept below runs/bench/environments, made anew when what is asked for changes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.results import ROOT

_MARK: Final = "made-from"
_INSTALL_SECONDS: Final = 900.0


class EnvironmentUnavailable(Exception):
    """An environment cannot be made here, say without a package index; says why in its last line of output."""


def environment(name: str, requirements: Sequence[str], constraints: Path, *, directory: Path) -> Path:
    """Return the python of the environment ``name`` below ``directory``, which has ``requirements``.

    Raises
    ------
    EnvironmentUnavailable
        If it cannot be made; a half-made one is removed.
    """
    place = directory / "environments" / name
    python, wanted = place / "bin" / "python", _fingerprint(requirements, constraints)
    mark = place / _MARK
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(place, ignore_errors=True)
    Console(stderr=True).print(f"making the environment '{name}'", style="dim")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(place)], [*install, "-c", str(constraints), *requirements]):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(place, ignore_errors=True)
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            raise EnvironmentUnavailable(
                f"the environment '{name}' cannot be made: {said[-1] if said else error}"
            ) from error
    mark.write_text(wanted, encoding="utf-8")
    return python


def own_environment(*extras: str, directory: Path) -> Path:
    """Return the python of an environment with this project and these of its extras, from this checkout.

    Raises
    ------
    EnvironmentUnavailable
        If it cannot be made.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # Spelt out too, so that the environment is made anew when they change.
    needed = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    requirements = [*needed, "--editable", f"{ROOT}[{','.join(extras)}]"]
    return environment("-".join(extras), requirements, ROOT / "constraints.txt", directory=directory)


def versions_in(python: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the versions of ``names`` in an environment, where they are installed."""
    command = [str(python), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    installed = {package["name"].lower(): package["version"] for package in json.loads(listed.stdout)}
    return {name: installed[name.lower()] for name in names if name.lower() in installed}


def _fingerprint(requirements: Sequence[str], constraints: Path) -> str:
    parts = [*requirements, constraints.read_text(encoding="utf-8"), sys.version]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
