"""What reads bundles is new enough: versions in which loading a graph is known to reach other files are not pinned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]

# RELIABILITY.md §4. onnx: CVE-2026-27489, -34446 and -34447 are mended in 1.21.0. onnxruntime: pull requests 26776,
# 27430 and 28709 (of May 2026) are all older than 1.28.0 (July 2026). onnxruntime-openvino is pinned at 1.24.1, which
# lacks the last; there model/network_check.py, which refuses external data before any runtime sees it, stands alone.
FLOORS = {"onnx": "1.21.0", "onnxruntime": "1.28.0", "onnxruntime-gpu": "1.28.0"}


@pytest.mark.parametrize("package", FLOORS)
def test_the_pinned_version_is_not_older_than_the_mended_one(package: str) -> None:
    (pinned,) = re.findall(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert Version(pinned) >= Version(FLOORS[package])
