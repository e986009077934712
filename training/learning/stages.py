"""Which stages of a recipe a run walks, and for how many members; known before a film is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from training.errors import RecipeError
from training.recipe import Recipe, StageRecipe


@dataclass(frozen=True, kw_only=True)
class Leg:
    """One stage of one member; member 0 is what all members share."""

    member: int
    number: int
    stage: StageRecipe

    @property
    def name(self) -> str:
        """Return what its checkpoint is called."""
        return f"member-{self.member}-stage-{self.number}"

    def describe(self) -> str:
        """Return what people are told."""
        return f"stage {self.number} of member {self.member}" if self.member else f"stage {self.number}"


def stages_of(recipe: Recipe, *, has_weights: bool) -> tuple[StageRecipe, ...]:
    """Return the stages that follow the head: ``finetune`` with given weights, else ``scratch``.

    There may be none where a head learns on frozen features.

    Raises
    ------
    RecipeError
        If nothing would learn, or members have nothing to start from or to differ in.
    """
    stages = recipe.finetune if has_weights else recipe.scratch
    if not stages and not has_weights:
        raise RecipeError("this recipe learns on given weights and has no [[scratch]] stage: give --init")
    if not stages and recipe.head is None:
        raise RecipeError("this recipe has neither [head] nor [[finetune]] to learn on given weights: leave out --init")
    shared = 0 if has_weights else 1
    if recipe.averaging.members > 1 and len(stages) <= shared:
        missing = "a [[finetune]] stage" if has_weights else "weights with --init, or a second [[scratch]] stage"
        reason = "no stage to differ in" if has_weights else "no network in common to start from"
        raise RecipeError(
            f"averaging.members is {recipe.averaging.members}, but the members have {reason}: give {missing}"
        )
    return stages


def legs_of(recipe: Recipe, *, has_weights: bool) -> tuple[list[Leg], list[list[Leg]]]:
    """Return the legs that all members share, and those of each member.

    Given weights are what members have in common; without, that is the first stage.

    Raises
    ------
    RecipeError
        As ``stages_of``.
    """
    stages = list(enumerate(stages_of(recipe, has_weights=has_weights), start=1))
    shared, own = ([], stages) if has_weights else (stages[:1], stages[1:])
    members = range(1, recipe.averaging.members + 1)
    return (
        [Leg(member=0, number=number, stage=stage) for number, stage in shared],
        [[Leg(member=member, number=number, stage=stage) for number, stage in own] for member in members],
    )
