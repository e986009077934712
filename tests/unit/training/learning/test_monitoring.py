"""What a recipe watches is defined on its select films, or the fit ends with one clear message."""

from __future__ import annotations

import math

import pytest

from training.errors import RecipeError, TrainingDiverged
from training.learning.monitoring import gain, require_numbers
from training.learning.task import Judgement
from training.recipe import FitRecipe

JUDGEMENT = Judgement(auc=0.8, findings_auc=0.7, loss=0.6, accuracy=0.5, recall=0.4)
NOTHING_MIXED = Judgement(auc=0.8, findings_auc=None, loss=0.6, accuracy=0.5, recall=None)


def watching(monitor: str) -> FitRecipe:
    values = {"epochs": 1, "batch_size": 2, "optimiser": "sgd", "learning_rate": 0.1, "monitor": monitor}
    return FitRecipe.model_validate(values)


@pytest.mark.parametrize(
    ("monitor", "expected"), [("auc", 0.8), ("findings_auc", 0.7), ("loss", -0.6), ("accuracy", 0.5), ("recall", 0.4)]
)
def test_more_is_better_but_of_the_loss_less(monitor: str, expected: float) -> None:
    assert gain(JUDGEMENT, watching(monitor), name="head") == expected


@pytest.mark.parametrize(
    ("monitor", "reason"),
    [
        ("findings_auc", "no finding is on some of the select films and missing on others"),
        ("recall", "nothing is positive on the select films"),
    ],
)
def test_what_select_films_do_not_define_cannot_be_watched(monitor: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=f'head: monitor = "{monitor}" has no value, because {reason}'):
        gain(NOTHING_MIXED, watching(monitor), name="head")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_select_loss_that_is_no_number_is_a_divergence(value: float) -> None:
    diverged = Judgement(auc=0.8, loss=value, accuracy=0.5, recall=None)
    with pytest.raises(TrainingDiverged, match=f"head: the loss of epoch 3 on select films is {value}"):
        require_numbers(diverged, name="head", epoch=3)
