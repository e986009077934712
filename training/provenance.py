"""Where a run comes from: library versions, the commit of this code, its patients, and the weights it was given."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from training.errors import RunError

_LIBRARIES = ("torch", "monai", "onnx", "onnxscript", "onnxruntime", "scikit-learn", "numpy", "imagecodecs")
UNKNOWN_COMMIT = "unknown"
# Its table names a patient for every film; every other form of collection may not.
_NAMES_PATIENTS = "nih"


def library_versions() -> dict[str, str]:
    """Return the version of Python and of each library that can change a figure; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_commit() -> str:
    """Return the commit of the checkout that this package runs from, ``-dirty`` if it was changed, or ``unknown``.

    An installed wheel has no checkout around it.
    """
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN_COMMIT
    return described.stdout.strip() or UNKNOWN_COMMIT


def patients_known(provenance: Mapping[str, Any]) -> bool:
    """Return whether every film of the run had a named patient; without, no split can keep patients apart.

    Provenance that was written before this was recorded is believed only where the form of the collection allows it.
    """
    return bool(provenance.get("patients_known", provenance["reader"] == _NAMES_PATIENTS))


def weights_sha256(path: Path) -> str:
    """Return the sha256 of a weights file, read in pieces.

    Raises
    ------
    RunError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RunError(f"cannot read the weights {path} ({error.strerror})") from error


def require_same_weights(path: Path, sha256: str | None) -> None:
    """Refuse a weights file that is no longer the one whose digest the run's keys and report name.

    Raises
    ------
    RunError
        If it cannot be read or has another digest.
    """
    found = weights_sha256(path)
    if found != sha256:
        raise RunError(f"the weights {path} have changed since the run was ordered (sha256 {found}, not {sha256})")
