"""``dciodvfy`` of dicom3tools: does an object keep the rules of its information object definition (PS3.3)?"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.tools import tool

_SECONDS: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What ``dciodvfy`` said. ``definition`` is the IOD that it took the object for, as ``Comprehensive3DSR``."""

    definition: str
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    output: str


def dciodvfy(path: Path) -> Verdict:
    """Check a DICOM file. A program that says nothing, or ends by a signal, has checked nothing and fails the test."""
    command = [str(tool("dciodvfy")), "-new", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    output = done.stderr + done.stdout
    assert done.returncode >= 0, output
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = tuple(line for line in lines if "Error - " in line)
    warnings = tuple(line for line in lines if "Warning - " in line)
    others = [line for line in lines if line not in errors and line not in warnings]
    assert others, f"dciodvfy names no information object definition:\n{output}"
    return Verdict(definition=others[0], errors=errors, warnings=warnings, output=output)
