"""Several runs of one recipe that differ in a few values: experiments, or a grid."""

from __future__ import annotations

import itertools
import re
from typing import Any, Literal

from pydantic import Field, model_validator

from training.recipe.section import Section

# A run's name is that of its folder.
_NAME = r"^[A-Za-z0-9][A-Za-z0-9=._,+-]{0,126}$"


class VariationRecipe(Section):
    """One run of a sweep: ``set`` maps dotted keys of the recipe to values (``"scratch.0.learning_rate" = 0.001``)."""

    name: str = Field(pattern=_NAME)
    set: dict[str, Any]


class SweepRecipe(Section):
    """Named ``variations``, or a ``grid`` of dotted keys and their values, every combination of which is one run.

    ``choose`` is the figure of select patients that the best run has the most of (``loss``: the least of). Test
    patients choose nothing.
    """

    variations: tuple[VariationRecipe, ...] = ()
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    choose: Literal["auc", "findings_auc", "loss", "accuracy", "recall"] = "auc"

    @model_validator(mode="after")
    def _has_one_form(self) -> SweepRecipe:
        if bool(self.variations) == bool(self.grid):
            raise ValueError("give either variations or a grid")
        empty = [key for key, values in self.grid.items() if not values]
        if empty:
            raise ValueError(f"the grid has no value for {', '.join(empty)}")
        names = [variation.name for variation in self.runs()]
        if len(set(names)) < len(names):
            raise ValueError(f"two variations have one name: {', '.join(names)}")
        return self

    def runs(self) -> tuple[VariationRecipe, ...]:
        """Return every run in order; those of a grid are named by their values, as ``learning_rate=0.001``.

        Raises
        ------
        ValueError
            If values make a name that no folder can have.
        """
        if self.variations:
            return self.variations
        chosen = (dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values()))
        return tuple(VariationRecipe(name=_named(each), set=each) for each in chosen)


def _named(chosen: dict[str, Any]) -> str:
    """Return the last part of each key with its value, a list's joined by +: ``filters=32+64,dropout=0.2``."""
    texts = {key: "+".join(map(str, value)) if isinstance(value, list) else value for key, value in chosen.items()}
    name = ",".join(f"{key.rsplit('.', 1)[-1]}={text}" for key, text in texts.items())
    if not re.fullmatch(_NAME, name):
        raise ValueError(f"a run of the grid would be called '{name}'; give variations with names of their own")
    return name
