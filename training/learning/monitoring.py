"""Which epoch is the best so far, and when waiting for a better one ends.

Knows what a recipe watches; not how it is computed.
"""

from __future__ import annotations

import math

from training.errors import RecipeError, TrainingDiverged
from training.learning.task import Judgement
from training.recipe import FitRecipe


def require_numbers(judgement: Judgement, *, name: str, epoch: int) -> None:
    """Refuse a judgement whose AUC or loss is no number, whatever is watched.

    Raises
    ------
    TrainingDiverged
        Naming what diverged, where and when.
    """
    for figure, value in (("AUC", judgement.auc), ("loss", judgement.loss)):
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"{name}: the {figure} of epoch {epoch} on select films is {value}; lower the learning rate"
            )


def gain(judgement: Judgement, recipe: FitRecipe, *, name: str) -> float:
    """Return what the recipe watches, so that more is better.

    Raises
    ------
    RecipeError
        If these select films do not define it.
    """
    watched: float | None = getattr(judgement, recipe.monitor)
    if watched is None:
        lacks = {
            "findings_auc": "no finding is on some of the select films and missing on others",
            "recall": "nothing is positive on the select films",
        }
        raise RecipeError(
            f'{name}: monitor = "{recipe.monitor}" has no value, because {lacks[recipe.monitor]}; '
            f'watch another figure, such as "loss", or give data.select a larger share'
        )
    return -watched if recipe.monitor == "loss" else watched


def chooses(recipe: FitRecipe) -> bool:
    """Return whether what is watched decides anything: which epoch is kept, or when it ends."""
    return recipe.keep == "best" or recipe.patience is not None
