"""What runs in a hospital reports to nobody outside of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.worker.bundles import default_bundle_directory

_LOAD = "import {module}, onnxruntime as o, sys; o.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"


@pytest.mark.parametrize("module", ["model.runtime", "training.graphs.graph", "training.graphs.variants"])
def test_onnxruntime_keeps_no_device_id_and_no_reports_to_send(module: str, tmp_path: Path) -> None:
    home = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"} | {"HOME": str(tmp_path)}
    home.pop("ORT_DISABLE_TELEMETRY", None)
    network = default_bundle_directory() / "model.onnx"
    subprocess.run([sys.executable, "-c", _LOAD.format(module=module), network], env=home, check=True, timeout=120)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]
