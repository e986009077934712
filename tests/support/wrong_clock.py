"""Wall clocks that a test sets wrong, each for the processes that it names (``clock_shim.c``, by LD_PRELOAD)."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
from pathlib import Path
from typing import Final

import pytest

_SOURCE: Final = Path(__file__).with_name("clock_shim.c")
_SECOND_NS: Final = 1_000_000_000


def build_clock_shim(directory: Path) -> Path:
    """Compile the shim and return it; where that cannot be done, skip the test aloud (in CI: fail it)."""
    shim = directory / "clock_shim.so"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        _give_up("no C compiler is here")
    options = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(shim)]
    built = subprocess.run([str(compiler), *options, str(_SOURCE)], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        _give_up(f"the shim does not compile: {built.stderr[-500:]}")
    return shim


class WrongClock:
    """One wall clock. Processes that start with its ``environment`` go by it; ``shift`` reaches them at once."""

    def __init__(self, shim: Path, offset: Path) -> None:
        self._offset = offset
        self._seconds = 0.0
        # Written in place ever after: processes have this very file mapped.
        offset.write_bytes(struct.pack("q", 0))
        self.environment = {"LD_PRELOAD": str(shim), "TRIAGE_CLOCK": str(offset)}

    def shift(self, seconds: float) -> None:
        """Set it forward, or back, against what it shows."""
        self._seconds += seconds
        with self._offset.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", int(self._seconds * _SECOND_NS)))

    def program(self, binary: Path, script: Path) -> Path:
        """Write a script that runs ``binary`` by this clock, and return it."""
        settings = " ".join(f"{name}='{value}'" for name, value in self.environment.items())
        script.write_text(f'#!/bin/sh\nexec env {settings} "{binary}" "$@"\n', encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return script


def _give_up(reason: str) -> None:
    message = f"clocks cannot be set wrong here: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{message}; CI must not skip this row")
    pytest.skip(message)
