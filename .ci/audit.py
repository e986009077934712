"""`make audit`: says whether a pinned version is known to be vulnerable, and whether the pins are what is installed.

Exit codes: 0 every pin was looked up and none is known to be vulnerable; 1 some are, or something else is installed;
3 not everything could be looked up, so that nothing is known, which pip-audit itself calls clean.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

FOUND = 1
NOT_AUDITED = 3
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
OURS = "cxr-triage"
# They make the environment, and are no part of it.
TOOLS = frozenset({"pip", "wheel"})


def canonical(name: str) -> str:
    """Return a distribution's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Return the pinned version of each distribution of a constraints file."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def unpinned(installed: dict[str, str], pinned: dict[str, str]) -> list[str]:
    """Return a line for each installed distribution whose version is not the pinned one."""
    return [
        f"{name} {version} is installed, but constraints.txt has {pinned.get(name, 'no pin')}"
        for name, version in sorted(installed.items())
        # A local part (`2.13.0+cpu`) says how that version was built.
        if name not in (OURS, *TOOLS) and pinned.get(name) != version.partition("+")[0]
    ]


def verdict(report: dict[str, Any], pinned: dict[str, str]) -> tuple[int, list[str]]:
    """Return the exit code and the lines that pip-audit's JSON amounts to."""
    looked_up = {canonical(one["name"]): one["vulns"] for one in report["dependencies"] if "vulns" in one}
    found = [
        f"{name} {pinned.get(name, '?')}: {hole['id']}, fixed in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for name, holes in sorted(looked_up.items())
        for hole in holes
    ]
    missing = sorted(set(pinned) - set(looked_up))
    if missing:
        found.append(f"could not be audited: {len(missing)} of {len(pinned)} pins are unknown to the advisory feed")
        return (FOUND if len(found) > 1 else NOT_AUDITED), found
    return (FOUND if found else 0), found or [f"{len(pinned)} pins audited, none is known to be vulnerable"]


def main() -> int:
    """Run pip-audit on the pins; print what it means."""
    pinned = pins(CONSTRAINTS.read_text(encoding="utf-8"))
    installed = {canonical(one.metadata["Name"]): one.version for one in importlib.metadata.distributions()}
    differing = unpinned(installed, pinned)
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    try:
        code, lines = verdict(json.loads(done.stdout), pinned)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        code, lines = NOT_AUDITED, [f"could not be audited: {last}"]
    print(*differing, *lines, sep="\n")
    return FOUND if differing and code == 0 else code


if __name__ == "__main__":
    sys.exit(main())
