"""Fifth step: convolutions learn, stage by stage; several members that differ by seed alone are averaged at the end.

With given weights every member starts from their network under the head of step four and walks through all ``finetune``
stages. Without, the first ``scratch`` stage is walked once, because networks from different beginnings have no average.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from training.errors import RecipeError
from training.learning.compiling import compiled
from training.learning.fitting import Surroundings, fit
from training.learning.network import TriageNetwork, freeze_below, load_backbone, mean_state, save_state
from training.learning.randomness import Draw, mixed_seed
from training.learning.stage_films import StageFilms
from training.learning.task import Epoch, Judgement
from training.progress import Advance, progress_bar
from training.provenance import require_same_weights
from training.ranks import synchronised
from training.recipe import Recipe, StageRecipe
from training.step import StepContext

State = dict[str, Tensor]


def run(context: StepContext, output: Path) -> None:
    """Write ``network.pt``, what the recipe keeps or averages, and ``history.jsonl``, one line an epoch.

    A step that was killed goes on from its last checkpoint. Other ranks are called to take part.

    Raises
    ------
    RecipeError
        If the ``--init`` file does not fit the network, or members have nothing to start from.
    RunError
        If it is no longer the file that was ordered.
    TrainingDiverged
        If loss or AUC are no numbers.
    """
    history = output / context.run.history.name

    def record(line: dict[str, Any]) -> None:
        with history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    with context.ranks.together(context.key):
        state = _trained(context, record)
    save_state(state, output / context.run.network.name)
    context.checkpoints("finetune").clear()


def take_part(context: StepContext) -> None:
    """Compute beside rank 0, which runs the step, and write nothing."""
    _trained(context, lambda line: None)


@dataclass(frozen=True, kw_only=True)
class _Leg:
    """One stage of one member; member 0 is what all members share."""

    member: int
    number: int
    stage: StageRecipe

    @property
    def name(self) -> str:
        return f"member-{self.member}-stage-{self.number}"

    def describe(self) -> str:
        return f"stage {self.number} of member {self.member}" if self.member else f"stage {self.number}"


def _trained(context: StepContext, record: Callable[[dict[str, Any]], None]) -> State:
    recipe = context.order.recipe
    shared, members = _legs(recipe, has_weights=context.order.init is not None)
    legs = [*shared, *(leg for member in members for leg in member)]
    films = sum(leg.stage.epochs * _films(context, leg).films_per_epoch for leg in legs)
    bar = progress_bar(total=films, label="fine-tuning", console=context.console, unit="films")
    with bar as advance:
        walk = _Walk(context, record, advance, last=legs[-1])
        start = walk.along(shared, _initial_network(context).state_dict())
        ends = [walk.along(member, start) for member in members]
    if len(ends) == 1:
        return ends[0]
    mean = mean_state(ends)
    _compare(context, members[0][-1], [*ends, mean], record)
    return mean


def _legs(recipe: Recipe, *, has_weights: bool) -> tuple[list[_Leg], list[list[_Leg]]]:
    stages = list(enumerate(recipe.finetune if has_weights else recipe.scratch, start=1))
    shared, own = ([], stages) if has_weights else (stages[:1], stages[1:])
    if recipe.averaging.members > 1 and not own:
        raise RecipeError(
            f"averaging.members is {recipe.averaging.members}, but the members have no network in common to start "
            f"from: give weights with --init, or a second [[scratch]] stage"
        )
    members = range(1, recipe.averaging.members + 1)
    return (
        [_Leg(member=0, number=number, stage=stage) for number, stage in shared],
        [[_Leg(member=member, number=number, stage=stage) for number, stage in own] for member in members],
    )


class _Walk:
    """Takes a network along legs; those that an earlier process finished are not repeated."""

    def __init__(
        self, context: StepContext, record: Callable[[dict[str, Any]], None], advance: Advance, *, last: _Leg
    ) -> None:
        self._context, self._record, self._advance = context, record, advance
        # Its end is the step's own result a moment later, unless an average follows.
        self._last = last
        self._said: set[str] = set()
        self._checkpoints = context.checkpoints("finetune")

    def along(self, legs: list[_Leg], state: State) -> State:
        for leg in legs:
            state = self._finished(leg) or self._walked(leg, state)
        return state

    def _finished(self, leg: _Leg) -> State | None:
        ranks = self._context.ranks
        done = ranks.share(self._checkpoints.read(f"{leg.name}-done") if ranks.leads else None)
        if done is None:
            return None
        for line in done["lines"]:
            self._record(line)
        self._advance(by=leg.stage.epochs * _films(self._context, leg).films_per_epoch)
        state: State = done["state"]
        return state

    def _walked(self, leg: _Leg, state: State) -> State:
        context, lines = self._context, []

        def finished(epoch: Epoch) -> None:
            lines.append(_line(leg, epoch, context.order.recipe))
            self._record(lines[-1])
            self._advance(f"{leg.describe()}, epoch {epoch.number} of {leg.stage.epochs}: {epoch.note()}", by=0)

        network = _prepared(context, leg.stage, state)
        forward = compiled(network, say=self._say_once) if leg.stage.compile else network
        around = Surroundings(
            name=leg.name,
            seed=_seed(context.order.recipe, leg),
            ranks=context.ranks,
            checkpoints=self._checkpoints,
            finished=finished,
            passed=lambda films: self._advance(by=films),
        )
        kept = fit(network, leg.stage, _films(context, leg), around, forward=forward)
        end = {name: tensor.cpu() for name, tensor in kept.items()}
        if leg is not self._last:
            self._checkpoints.write(f"{leg.name}-done", {"state": end, "lines": lines})
            self._checkpoints.forget(leg.name)
        return end

    def _say_once(self, remark: str) -> None:
        if remark not in self._said:
            self._said.add(remark)
            self._context.console.print(remark)


def _line(leg: _Leg, epoch: Epoch, recipe: Recipe) -> dict[str, Any]:
    return {
        "member": leg.member,
        "stage": leg.number,
        "learns": leg.stage.learns,
        "size": leg.stage.size or recipe.preprocessing.size,
        **epoch.as_dict(),
    }


def _seed(recipe: Recipe, leg: _Leg) -> int:
    return mixed_seed(Draw.LEG, recipe.seed, leg.member, leg.number)


def _films(context: StepContext, leg: _Leg) -> StageFilms:
    return StageFilms(context, leg.stage, _seed(context.order.recipe, leg))


def _compare(context: StepContext, leg: _Leg, states: list[State], record: Callable[[dict[str, Any]], None]) -> None:
    """Record how the average, the last of ``states``, does beside its members on select films."""
    if not context.ranks.leads:
        return
    films = _films(context, leg)
    *members, mean = [films.judge(_prepared(context, leg.stage, state).eval()) for state in states]
    record({"average_of": len(members), "member_select_aucs": [member.auc for member in members], **_aucs(mean)})
    if mean.auc < min(member.auc for member in members):
        context.console.print(
            f"  WARNING: the average of {len(members)} members has select AUC {mean.auc:.3f}, below each of them",
            style="bold red",
        )


def _aucs(judgement: Judgement) -> dict[str, float | None]:
    return {"select_auc": judgement.auc, "findings_auc": judgement.findings_auc}


def _initial_network(context: StepContext) -> TriageNetwork:
    torch.manual_seed(context.order.recipe.seed)
    network = TriageNetwork(context.order.recipe.network)
    if context.order.init is not None:
        require_same_weights(context.order.init, context.order.init_sha256)
        load_backbone(network, context.order.init)
        network.head.load_state_dict(torch.load(context.run.head, map_location="cpu", weights_only=True))
    return network


def _prepared(context: StepContext, stage: StageRecipe, state: State) -> TriageNetwork:
    network = TriageNetwork(context.order.recipe.network)
    network.load_state_dict(state)
    freeze_below(network, stage.learns)
    # Convolutions of bf16 on films laid out channels-last are the fast ones, on CPUs with AMX as on GPUs.
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    placed = synchronised(network.to(context.device), context.ranks)
    assert isinstance(placed, TriageNetwork)
    return placed
