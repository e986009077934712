"""``cxr-triage`` as a shell runs it, but for the start of Python; and the commands that it has."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from services.cli import app, main
from tests.support.gateway import environment

# A command spends a second on imports, and most commands a few milliseconds on anything else: each is a process of its
# own, forked from one that has imported them. `tests/end_to_end/test_cli.py` runs the installed script.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def cxr_triage(
    *arguments: object, settings: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 280
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with this environment or one without settings of its own."""
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as said:
        place = Path(said)
        told = dict(environment() if settings is None else settings)
        process = _FORKS.Process(target=_run, args=(words, told, cwd or Path.cwd(), place))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        assert process.exitcode is not None
        output = [(place / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(words, process.exitcode, *output)


def _run(words: Sequence[str], environment: Mapping[str, str], directory: Path, place: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for stream in (sys.stdout, sys.stderr):
        with (place / stream.name.strip("<>")).open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = ["cxr-triage", *words]
    main()


def commands() -> set[str]:
    """Return every command, those of groups as two words."""
    root = typer.main.get_command(app)
    found: set[str] = set()
    for name, command in root.commands.items():  # type: ignore[attr-defined]  # a group of click
        found.add(name)
        found |= {f"{name} {below}" for below in getattr(command, "commands", {})}
    return found
