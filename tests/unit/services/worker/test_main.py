"""What is wrong with an installation is one line on stderr and exit code 2; nothing of it is left running."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.bundle import read_manifest
from services.worker.__main__ import main
from tests.support.bundles import write_tiny_bundle


@pytest.fixture(autouse=True)
def process_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``main`` owns its process: it configures logging and hooks, and reads the environment."""
    for name in [name for name in os.environ if name.startswith("CXR_")]:
        monkeypatch.delenv(name)
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)
    yield
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"CXR_WORKER_BUNDLE": "/nowhere"}, "bundle_not_found: no bundle at /nowhere"),
        ({"CXR_WORKER_OPERATING_POINT": "none"}, "bundle_incompatible: bundle tiny has no operating point 'none'"),
        ({"CXR_WORKER_PROVIDER": "cuda"}, "provider_unavailable: provider 'cuda'"),
        ({"CXR_WORKER_THREADZ": "2"}, "settings_error: unknown setting CXR_WORKER_THREADZ"),
        ({"CXR_WORKER_THREADS": "many"}, "settings_error: CXR_WORKER_THREADS"),
        ({"CXR_WORKER_RETRY_SECONDS": "abc"}, "settings_error: CXR_WORKER_RETRY_SECONDS: must be JSON"),
        ({"CXR_WORKER_RETRY_SECONDS": "[]"}, "settings_error: CXR_WORKER_RETRY_SECONDS"),
        ({"CXR_WORKER_RETRY_SECONDS": "[1, -1]"}, "settings_error: CXR_WORKER_RETRY_SECONDS"),
        ({"CXR_WORKER_RETRY_SECONDS": "[NaN]"}, "settings_error: CXR_WORKER_RETRY_SECONDS"),
        ({"CXR_WORKER_DECODES_PER_CHILD": "10001"}, "settings_error: CXR_WORKER_DECODES_PER_CHILD"),
        ({"CXR_REDIS_URL": ""}, "settings_error: CXR_REDIS_URL: Value error, must be a redis://"),
        ({"CXR_REDIS_URL": "http://:secret@host"}, "settings_error: CXR_REDIS_URL: Value error, must be a redis://"),
        ({"CXR_REDIS_URL": "redis://host:port"}, "settings_error: CXR_REDIS_URL: Value error, must be a redis://"),
    ],
)
def test_what_is_wrong_with_an_installation_is_one_line(
    settings: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny")
    for name, value in ({"CXR_WORKER_BUNDLE": str(bundle)} | settings).items():
        monkeypatch.setenv(name, value)
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cxr-triage worker: {message}")


def test_a_tampered_bundle_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "tampered")
    network = bundle / "model.onnx"
    network.write_bytes(network.read_bytes() + b"\0")
    monkeypatch.setenv("CXR_WORKER_BUNDLE", str(bundle))
    assert main() == 2
    assert capsys.readouterr().err.startswith("cxr-triage worker: bundle_corrupt: ")


def test_a_bundle_whose_manifest_was_edited_is_refused_where_its_digest_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "edited")
    _, digest = read_manifest(bundle)
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"threshold": 0.4', '"threshold": 0.9'))
    monkeypatch.setenv("CXR_WORKER_BUNDLE", str(bundle))
    monkeypatch.setenv("CXR_WORKER_BUNDLE_DIGEST", digest)
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cxr-triage worker: bundle_corrupt: ")
    assert "CXR_WORKER_BUNDLE_DIGEST" in line
