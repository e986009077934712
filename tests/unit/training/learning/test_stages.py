"""A recipe that would learn nothing from what it is given says so before a film is decoded."""

from __future__ import annotations

import pytest

from tests.support.training_runs import TINY
from training.errors import RecipeError
from training.learning.stages import stages_of
from training.recipe import Recipe


def recipe_with(**values: object) -> Recipe:
    return Recipe.model_validate({**TINY, **values})


def test_given_weights_are_fine_tuned_and_others_start_from_scratch() -> None:
    recipe = recipe_with()
    assert stages_of(recipe, has_weights=True) == recipe.finetune
    assert stages_of(recipe, has_weights=False) == recipe.scratch


def test_a_head_on_frozen_features_needs_no_stage() -> None:
    assert stages_of(recipe_with(finetune=[], scratch=[]), has_weights=True) == ()


def test_a_recipe_for_given_weights_asks_for_them() -> None:
    with pytest.raises(RecipeError, match=r"learns on given weights and has no .*: give --init"):
        stages_of(recipe_with(scratch=[]), has_weights=False)


def test_a_recipe_from_scratch_takes_no_weights() -> None:
    with pytest.raises(RecipeError, match=r"neither \[head\] nor \[\[finetune\]\].*leave out --init"):
        stages_of(recipe_with(head=None, finetune=[]), has_weights=True)


@pytest.mark.parametrize(
    ("has_weights", "reason"),
    [(False, "no network in common to start from: give weights with --init"), (True, "no stage to differ in")],
)
def test_members_need_a_common_start_and_a_stage_of_their_own(has_weights: bool, reason: str) -> None:
    with pytest.raises(RecipeError, match=rf"averaging\.members is 3, but the members have {reason}"):
        stages_of(recipe_with(averaging={"members": 3}, finetune=[]), has_weights=has_weights)
