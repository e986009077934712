"""Who learns how fast: parameter groups by depth, the optimiser, and the schedule of its rates."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn

from training.networks.network import TriageNetwork
from training.recipe import FitRecipe, StageRecipe


def build_optimiser(network: nn.Module, recipe: FitRecipe) -> torch.optim.Optimizer:
    """Return the recipe's optimiser over all parameters that may learn."""
    groups = list(_groups(network, recipe))
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
    return kind(groups, lr=recipe.learning_rate, eps=recipe.epsilon, fused=True)


def build_schedule(optimiser: torch.optim.Optimizer, recipe: FitRecipe, steps: int) -> LambdaLR | ReduceLROnPlateau:
    """Return what moves the rates: stepped after every batch, but a ``ReduceLROnPlateau`` after every epoch.

    The first is warm-up over the recipe's share of ``steps``, then its schedule down to the last of them. The second,
    for ``plateau``, is stepped with the loss on select films and knows no warm-up.
    """
    if recipe.schedule == "plateau":
        return ReduceLROnPlateau(optimiser, factor=recipe.plateau_factor, patience=recipe.plateau_patience)
    return LambdaLR(optimiser, _factor(recipe, steps))


class MovingAverage:
    """Exponential moving average of parameters and batch statistics; with decay 0 it is the network itself.

    Batch statistics are averaged as the parameters are, because those of the last step describe the features of other
    weights; the usual recipe copies them. Counts of batches are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network) if decay else network
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Move towards ``network``, which has taken a step."""
        if not self._decay:
            return
        self._steps += 1
        # The average forgets its random start first: short runs would otherwise carry it to the end.
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        theirs = network.state_dict()
        pairs = [(mine, theirs[name]) for name, mine in self.network.state_dict().items()]
        moving = [pair for pair in pairs if pair[0].is_floating_point()]
        step = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch ships it without annotations
        step([mine for mine, _ in moving], [their for _, their in moving], None)
        for mine, their in pairs:
            if not mine.is_floating_point():
                mine.copy_(their)

    def state_dict(self) -> dict[str, Any]:
        """Return what ``load_state_dict`` needs to go on as if nothing had happened."""
        return {"steps": self._steps, "network": self.network.state_dict() if self._decay else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self._steps = state["steps"]
        if self._decay:
            self.network.load_state_dict(state["network"])


def _groups(network: nn.Module, recipe: FitRecipe) -> Iterable[dict[str, Any]]:
    for parameters, rate in _rates(network, recipe):
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        # Decay pulls weights towards 0; on biases and normalisation that would shift the film's brightness.
        kinds = [
            ([parameter for parameter in learning if parameter.ndim > 1], recipe.weight_decay),
            ([parameter for parameter in learning if parameter.ndim <= 1], 0.0),
        ]
        for chosen, weight_decay in kinds:
            if chosen:
                yield {"params": chosen, "lr": rate, "weight_decay": weight_decay}


def _rates(network: nn.Module, recipe: FitRecipe) -> Iterable[tuple[list[nn.Parameter], float]]:
    if not isinstance(recipe, StageRecipe) or not isinstance(network, TriageNetwork):
        yield list(network.parameters()), recipe.learning_rate
        return
    top = recipe.backbone_learning_rate or recipe.learning_rate
    # With decay d the last of five stages learns at the backbone's rate r, the stem at r times d to the fourth.
    for below, modules in enumerate(reversed(network.stages)):
        yield [parameter for module in modules for parameter in module.parameters()], top * recipe.layer_decay**below
    yield list(network.head.parameters()), recipe.learning_rate


def _factor(recipe: FitRecipe, steps: int) -> Callable[[int], float]:
    warmup = max(1, round(recipe.warmup * steps))

    def factor(step: int) -> float:
        if recipe.warmup and step < warmup:
            return (step + 1) / warmup
        if recipe.schedule == "constant":
            return 1.0
        progress = (step - warmup) / max(1, steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor
