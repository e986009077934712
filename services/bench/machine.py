"""What a machine says of itself, so that a figure can be read years later. No name, no address, no path.

Below whatever writes figures down.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

# What onnxruntime, OpenVINO and the kernels choose their code by.
_TELLING_FLAGS: Final = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "neon",
    "sve",
)
PACKAGES: Final = (
    *("cxr-triage", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "numpy", "opencv-python-headless"),
    *("imagecodecs", "simplejpeg", "numba", "pydicom", "fastapi", "uvicorn", "uvloop", "httptools", "redis", "hiredis"),
)
_ASK_SECONDS: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """A machine at one moment.

    Attributes
    ----------
    cores
        Those that this process may use, which may be fewer than the machine has.
    load
        Processes that ran or wanted to run, on average over the last minute. Well above 0 before anything was started
        means that the machine had other work.
    gpus
        As ``nvidia-smi`` names them.
    """

    processor: str
    cores: int
    flags: tuple[str, ...]
    memory_gib: float
    system: str
    python: str
    load: float
    gpus: tuple[str, ...]


def machine_facts() -> MachineFacts:
    """Return what this machine says of itself now."""
    cpuinfo = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE)
    listed = re.search(r"^(?:flags|Features)\s*: (.+)$", cpuinfo, re.MULTILINE)
    flags = set(listed[1].split()) if listed else set()
    memory = re.search(r"^MemTotal:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return MachineFacts(
        processor=model[1].strip() if model else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        flags=tuple(flag for flag in _TELLING_FLAGS if flag in flags),
        memory_gib=round(int(memory[1]) / 1024**2, 1) if memory else 0.0,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2),
        gpus=_gpus(),
    )


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of those that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return ""


def _gpus() -> tuple[str, ...]:
    if shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in asked.stdout.splitlines() if line.strip())
