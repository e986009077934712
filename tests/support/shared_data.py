"""Real films that live outside of the repository (``TRIAGE_TEST_DATA``, or ``shared/data`` beside the checkout)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE_CHECKOUT = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared_data_or_none(*parts: str) -> Path | None:
    """Return a folder or file of the shared data; ``None`` where it is absent."""
    path = Path(os.environ.get("TRIAGE_TEST_DATA", _BESIDE_CHECKOUT)).joinpath(*parts)
    return path if path.exists() else None


def shared_data(*parts: str) -> Path:
    """Return a folder or file of the shared data; skip the test where it is absent."""
    path = shared_data_or_none(*parts)
    if path is None:
        pytest.skip(f"no shared data: {'/'.join(parts)} is absent (set TRIAGE_TEST_DATA)")
    return path
