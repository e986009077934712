"""Reads recipes: TOML with presets and sweeps in, a frozen ``Recipe`` out.

A recipe may carry presets, tables that override its own values for another machine or another question
(``[presets.cpu.preprocessing] size = 128``); several are applied in the order they are named. A list is replaced as a
whole, and so is the table ``[sweep]``, which says what several runs of the recipe vary and is no part of the recipe.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from training.errors import RecipeError
from training.recipe import Recipe, SweepRecipe

_SWEEP, _PRESETS = "sweep", "presets"

Parsed = TypeVar("Parsed", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class SweptRecipe:
    """One run of a sweep: its name, the dotted keys it sets, and the recipe with them set."""

    name: str
    changes: Mapping[str, Any]
    recipe: Recipe


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Runs of one recipe, in order, and the figure of select patients that chooses among them."""

    base: Recipe
    choose: str
    runs: tuple[SweptRecipe, ...]


def read_recipe(path: Path, *presets: str) -> Recipe:
    """Parse a recipe file, or a shipped recipe named without suffix, and apply its presets in the order given.

    A ``[sweep]`` in it is checked and left out: the recipe's digest does not depend on it.

    Raises
    ------
    RecipeError
        If the file cannot be read, is no TOML, has no such preset, or holds an unknown key or a bad value; the message
        names the key.
    """
    recipe, _, _ = _read(path, presets)
    return recipe


def read_sweep(path: Path, *presets: str) -> Sweep:
    """Parse a recipe file as ``read_recipe`` does, and every run that its ``[sweep]`` asks for.

    Raises
    ------
    RecipeError
        As ``read_recipe``; if there is no ``[sweep]``; or if a variation sets a key that the recipe does not have, an
        index out of range, or a bad value. The message names variation and key. If a variation changes ``data``, or,
        where ``loss`` chooses, what the loss is: figures of select patients would be compared that mean other things.
    """
    base, sweep, source = _read(path, presets)
    if sweep is None:
        raise RecipeError(f"{source} has no [sweep]: nothing to vary. `cxr-train run` runs it once")
    document = base.model_dump(mode="json")
    runs = [
        SweptRecipe(
            name=variation.name,
            changes=variation.set,
            recipe=_varied(document, variation.set, source=f"{source}: variation '{variation.name}'"),
        )
        for variation in sweep.runs()
    ]
    for run in runs:
        _require_comparable(run, base, sweep.choose, source=source)
    return Sweep(base=base, choose=sweep.choose, runs=tuple(runs))


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
    return _parsed(Recipe, document, source=source)


def _read(path: Path, presets: tuple[str, ...]) -> tuple[Recipe, SweepRecipe | None, str]:
    path = shipped_recipes().get(str(path), path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path} ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    known = document.pop(_PRESETS, {})
    if not isinstance(known, Mapping) or not all(isinstance(preset, Mapping) for preset in known.values()):
        raise RecipeError(f"{path}: {_PRESETS}: every preset is a table of values, [{_PRESETS}.NAME]")
    for preset in presets:
        if preset not in known:
            raise RecipeError(f"{path} has no preset '{preset}'; it has: {', '.join(known) or 'none'}")
        document = _overlaid(document, known[preset])
    sweep = document.pop(_SWEEP, None)
    recipe = parse_recipe(document, source=str(path))
    return recipe, None if sweep is None else _parsed(SweepRecipe, sweep, source=str(path), above=(_SWEEP,)), str(path)


def _require_comparable(run: SweptRecipe, base: Recipe, choose: str, *, source: str) -> None:
    """Refuse a run whose choosing figure is one of other films, or another loss, than that of its neighbours."""
    if run.recipe.data != base.data:
        section, why = "data", "runs are compared on the same films"
    elif choose == "loss" and run.recipe.loss != base.loss:
        section, why = "loss", 'with choose = "loss", runs are compared by the same loss'
    else:
        return
    raise RecipeError(f"{source}: variation '{run.name}' changes [{section}], but {why}; put it into a preset instead")


def _parsed(kind: type[Parsed], document: Any, *, source: str, above: tuple[str, ...] = ()) -> Parsed:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in (*above, *first["loc"])) or "recipe"
        reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise RecipeError(f"{source}: {key}: {reason}") from error


def _overlaid(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and key != _SWEEP:
            merged[key] = _overlaid(below, value)
        else:
            merged[key] = value
    return merged


def _varied(document: Mapping[str, Any], changes: Mapping[str, Any], *, source: str) -> Recipe:
    """Return ``document``, every key of a recipe in it, with ``changes`` set at their dotted keys."""
    varied = copy.deepcopy(dict(document))
    for key, value in changes.items():
        *above, last = key.split(".")
        place: Any = varied
        for part in above:
            place = place[_index(place, part, key=key, source=source)]
        place[_index(place, last, key=key, source=source)] = value
    return parse_recipe(varied, source=source)


def _index(place: Any, part: str, *, key: str, source: str) -> str | int:
    """Return what finds ``part`` in a table or a list of the recipe."""
    if isinstance(place, list):
        if part.isdecimal() and int(part) < len(place):
            return int(part)
        raise RecipeError(f"{source}: {key}: '{part}' is no index of a list of {len(place)}; they count from 0")
    if isinstance(place, dict) and part in place:
        return part
    known = ", ".join(place) if isinstance(place, dict) else "nothing, because the recipe has no such table"
    raise RecipeError(f"{source}: {key}: unknown key '{part}'; there is {known}")
