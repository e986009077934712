"""The commands that ``cxr-triage`` has."""

from __future__ import annotations

import typer

from services.cli import app


def commands() -> set[str]:
    """Return every command, those of groups as two words."""
    root = typer.main.get_command(app)
    found: set[str] = set()
    for name, command in root.commands.items():  # type: ignore[attr-defined]  # a group of click
        found.add(name)
        found |= {f"{name} {below}" for below in getattr(command, "commands", {})}
    return found
