"""Fifth step: convolutions learn, stage by stage; several members that differ by seed alone are averaged at the end.

With given weights every member starts from their network under the head of step four, or under a fresh one where there
is none, and walks through all ``finetune`` stages; if there are none, that network is the result. Without, the first
``scratch`` stage is walked once, because networks from different beginnings have no average.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from training.learning.compiling import compiled
from training.learning.fitting import Surroundings, fit
from training.learning.labelled_films import LabelledFilms
from training.learning.randomness import Draw, mixed_seed
from training.learning.stage_films import StageFilms
from training.learning.stages import Leg, legs_of
from training.learning.task import Epoch, Judgement
from training.networks.freezing import freeze_below
from training.networks.network import TriageNetwork
from training.networks.states import mean_state, save_state
from training.networks.weights import load_backbone
from training.progress import Advance, progress_bar
from training.provenance import require_same_weights
from training.ranks import synchronised
from training.recipe import Recipe, StageRecipe
from training.step import StepContext

State = dict[str, Tensor]


def run(context: StepContext, output: Path) -> None:
    """Write ``network.pt``, what the recipe keeps or averages, and ``history.jsonl``, one line an epoch.

    Where no stage is walked the history is an empty file: all that was learnt is in that of ``head``. A step that was
    killed goes on from its last checkpoint. Other ranks are called to take part.

    Raises
    ------
    RecipeError
        If the ``--init`` file does not fit the network, or as ``stages_of``, ``LabelledFilms`` and ``fit``.
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
    history.touch()
    save_state(state, output / context.run.network.name)
    context.checkpoints("finetune").clear()


def take_part(context: StepContext) -> None:
    """Compute beside rank 0, which runs the step, and write nothing."""
    _trained(context, lambda line: None)


def _trained(context: StepContext, record: Callable[[dict[str, Any]], None]) -> State:
    recipe = context.order.recipe
    shared, members = legs_of(recipe, has_weights=context.order.init is not None)
    legs = [*shared, *(leg for member in members for leg in member)]
    if not legs:
        return _initial_network(context).state_dict()
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


class _Walk:
    """Takes a network along legs; those that an earlier process finished are not repeated."""

    def __init__(
        self, context: StepContext, record: Callable[[dict[str, Any]], None], advance: Advance, *, last: Leg
    ) -> None:
        self._context, self._record, self._advance = context, record, advance
        # Its end is the step's own result a moment later, unless an average follows.
        self._last = last
        self._said: set[str] = set()
        self._checkpoints = context.checkpoints("finetune")

    def along(self, legs: list[Leg], state: State) -> State:
        for leg in legs:
            state = self._finished(leg) or self._walked(leg, state)
        return state

    def _finished(self, leg: Leg) -> State | None:
        ranks = self._context.ranks
        done = ranks.share(self._checkpoints.read(f"{leg.name}-done") if ranks.leads else None)
        if done is None:
            return None
        for line in done["lines"]:
            self._record(line)
        self._advance(by=leg.stage.epochs * _films(self._context, leg).films_per_epoch)
        state: State = done["state"]
        return state

    def _walked(self, leg: Leg, state: State) -> State:
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


def _line(leg: Leg, epoch: Epoch, recipe: Recipe) -> dict[str, Any]:
    return {
        "member": leg.member,
        "stage": leg.number,
        "learns": leg.stage.learns,
        "size": leg.stage.size or recipe.preprocessing.size,
        **epoch.as_dict(),
    }


def _seed(recipe: Recipe, leg: Leg) -> int:
    return mixed_seed(Draw.LEG, recipe.seed, leg.member, leg.number)


def _films(context: StepContext, leg: Leg) -> StageFilms:
    return StageFilms(context, leg.stage, _seed(context.order.recipe, leg))


def _compare(context: StepContext, leg: Leg, states: list[State], record: Callable[[dict[str, Any]], None]) -> None:
    """Record how the average, the last of ``states``, does beside its members on select films."""
    if not context.ranks.leads:
        return
    films = _films(context, leg)
    *members, mean = [films.judge(_prepared(context, leg.stage, state).eval()) for state in states]
    record({"average_of": len(members), "member_select_aucs": [member.auc for member in members], **_judged(mean)})
    if mean.auc < min(member.auc for member in members):
        context.console.print(
            f"  WARNING: the average of {len(members)} members has select AUC {mean.auc:.3f}, below each of them",
            style="bold red",
        )


def _judged(judgement: Judgement) -> dict[str, float | None]:
    return {
        "select_auc": judgement.auc,
        "findings_auc": judgement.findings_auc,
        "select_loss": judgement.loss,
        "select_accuracy": judgement.accuracy,
        "select_recall": judgement.recall,
    }


def _initial_network(context: StepContext) -> TriageNetwork:
    recipe = context.order.recipe
    torch.manual_seed(recipe.seed)
    network = TriageNetwork(recipe.network, size=recipe.preprocessing.size)
    if (neutral := LabelledFilms(context).neutral) is not None:
        network.neutral.copy_(neutral)
    if context.order.init is not None:
        require_same_weights(context.order.init, context.order.init_sha256)
        load_backbone(network, context.order.init)
        if context.run.head.exists():
            _load_head(network, context.run.head)
    return network


def _load_head(network: TriageNetwork, path: Path) -> None:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if network.recipe.age_sex:
        network.neutral.copy_(state.pop("neutral"))
    network.head.load_state_dict(state)


def _prepared(context: StepContext, stage: StageRecipe, state: State) -> TriageNetwork:
    recipe = context.order.recipe
    network = TriageNetwork(recipe.network, size=stage.size or recipe.preprocessing.size)
    network.load_state_dict(state)
    freeze_below(network, stage.learns)
    # Convolutions of bf16 on films laid out channels-last are the fast ones, on CPUs with AMX as on GPUs.
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    placed = synchronised(network.to(context.device), context.ranks)
    assert isinstance(placed, TriageNetwork)
    return placed
