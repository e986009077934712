"""What is wrong with an installation is one line on stderr and exit code 2, before anything is connected."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.delivery.__main__ import main

STOW = '[[target]]\nname = "pacs"\nkind = "stow"\naddress = "https://pacs"\n'
HOOK = '[[target]]\nname = "hook"\nkind = "webhook"\naddress = "https://hook"\nsecret = {env = "HOOK_SECRET"}\n'


def _loggers() -> list[tuple[str, logging.Logger]]:
    """Return every logger that has been asked for by now."""
    known = logging.root.manager.loggerDict
    return [(name, logger) for name, logger in known.items() if isinstance(logger, logging.Logger)]


@pytest.fixture(autouse=True)
def process_restored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """``main`` owns its process: it configures logging and hooks, and reads the environment."""
    for name in [name for name in os.environ if name.startswith("CXR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CXR_SPOOL_DIRECTORY", str(tmp_path / "spool"))
    monkeypatch.setenv("CXR_AUDIT_DIRECTORY", str(tmp_path / "audit"))
    monkeypatch.setenv("CXR_DELIVERY_METRICS_PORT", "0")
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)
    levels = {name: logger.level for name, logger in _loggers()}
    yield
    root.handlers[:], root.level = handlers, level
    for name, logger in _loggers():
        logger.setLevel(levels.get(name, logging.NOTSET))
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("targets", "settings", "message"),
    [
        (None, {}, "targets_invalid: CXR_DELIVERY_TARGETS_FILE: no targets file"),
        ("", {}, "targets_invalid: {file}: target: Field required"),
        (STOW + "user = 'u'\n", {}, "targets_invalid: {file}: target.0: Value error, `user` and `password`"),
        (
            STOW + 'token = {file = "/nowhere"}\n',
            {},
            "targets_invalid: target pacs: cannot read /nowhere: No such",
        ),
        (STOW + 'tls = {ca_file = "/nowhere"}\n', {}, "targets_invalid: target pacs: tls: No such file"),
        (HOOK, {}, "targets_invalid: target hook: secret: the variable HOOK_SECRET holds no credential"),
        (HOOK, {"HOOK_SECRET": "ZZCANARY"}, "targets_invalid: target hook: secret: must be whsec_ and 24 to 64"),
        (STOW, {"CXR_DELIVERY_ATTEMPTS": "none"}, "settings_error: CXR_DELIVERY_ATTEMPTS"),
        (STOW, {"CXR_DELIVERY_TARGETZ": "x"}, "settings_error: unknown setting CXR_DELIVERY_TARGETZ"),
    ],
)
def test_what_is_wrong_is_one_line(
    targets: str | None,
    settings: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "targets.toml"
    if targets is not None:
        file.write_text(targets)
        monkeypatch.setenv("CXR_DELIVERY_TARGETS_FILE", str(file))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cxr-triage deliver: " + message.replace("{file}", str(file)))
    assert "ZZCANARY" not in line
