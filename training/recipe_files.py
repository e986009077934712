"""Reads recipes: TOML with presets in, a frozen ``Recipe`` out.

A recipe may carry presets, tables that override its own values for another machine
(``[presets.cpu.preprocessing] size = 128``). A list is replaced as a whole.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.errors import RecipeError
from training.recipe import Recipe


def read_recipe(path: Path, preset: str | None = None) -> Recipe:
    """Parse a recipe file, or a shipped recipe named without suffix, and apply one of its presets.

    Raises
    ------
    RecipeError
        If the file cannot be read, is no TOML, has no such preset, or holds an unknown key or a bad value; the message
        names the key.
    """
    path = shipped_recipes().get(str(path), path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path} ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    presets = document.pop("presets", {})
    if preset is not None:
        if preset not in presets:
            raise RecipeError(f"{path} has no preset '{preset}'; it has: {', '.join(presets) or 'none'}")
        document = _overlaid(document, presets[preset])
    return parse_recipe(document, source=str(path))


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with this package, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.toml"))}


def parse_recipe(document: Mapping[str, Any], *, source: str) -> Recipe:
    """Return the recipe in ``document``; ``source`` is what error messages call it.

    Raises
    ------
    RecipeError
        On an unknown key, a missing one, or a value out of bounds.
    """
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "recipe"
        reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise RecipeError(f"{source}: {key}: {reason}") from error


def _overlaid(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _overlaid(below, value)
        else:
            merged[key] = value
    return merged
