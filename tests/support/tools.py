"""Programs that tests need and a machine may lack: a reason to skip at home, an error in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final, NoReturn

import pytest

# Where Debian puts servers, and what an ordinary user's PATH leaves out.
_SERVERS: Final = "/usr/local/sbin:/usr/sbin:/sbin"


def require_tools(*names: str) -> None:
    """Return if every program is on PATH; else skip, or fail where ``CI=true`` (`.ci/run` installs them)."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        lacking(f"{', '.join(missing)} not installed")


def tool(name: str) -> Path:
    """Return where a program is, servers included; else skip, or fail where ``CI=true``."""
    found = shutil.which(name) or shutil.which(name, path=_SERVERS)
    if found is None:
        lacking(f"{name} not installed")
    return Path(found)


def lacking(reason: str) -> NoReturn:
    """Skip for this reason, or fail where ``CI=true``: there everything is installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI lacks what a test needs: {reason}")
    pytest.skip(reason)
