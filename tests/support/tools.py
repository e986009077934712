"""Programs that tests need and a machine may lack: a reason to skip at home, an error in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def require_tools(*names: str) -> None:
    """Return if every program is on PATH; else skip, or fail where ``CI=true`` (`.ci/run` installs them)."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"CI lacks {', '.join(missing)}")
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
